"""The image of the curves has a panel for what was measured, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from instructsam_training.engine.curves import draw_curves, learning_rates
from instructsam_training.engine.metrics_logger import write_lines


def line(step: int, **more: Any) -> dict[str, Any]:
    terms = dict.fromkeys(('loss', 'text', 'bce', 'dice', 'box', 'score'), 0.1)
    return {'step': step, 'rate': 1e-3, 'images_per_s': 2.0, 'memory_gib': 0.5, **terms, **more}


def test_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(pyplot, 'close', drawn.append)
    file, image = tmp_path / 'metrics.jsonl', tmp_path / 'curves.png'
    draw_curves(file, image)
    assert not image.exists()
    # Lines of an older version, without a gradient norm and rates by group.
    write_lines(file, [line(1), line(2)])
    draw_curves(file, image)
    assert [axis.get_title() for axis in drawn[0].axes][-2:] == ['rate', 'images_per_s']
    more = {'grad_norm': 2.0, 'rate/llm': 1e-3, 'rate/decoder': 1e-4}
    write_lines(file, [line(1, **more), line(2, **more, **{'validation/mAP': 0.5}), line(3, **more)])
    draw_curves(file, image)
    panels = {axis.get_title(): axis for axis in drawn[1].axes}
    assert [*panels][-4:] == ['grad_norm', 'rate', 'images_per_s', 'validation/mAP']
    assert [text.get_text() for text in panels['rate'].get_legend().get_texts()] == ['rate/llm', 'rate/decoder']
    assert panels['validation/mAP'].lines[0].get_xdata() == [2]
    assert image.stat().st_size > 10_000


def test_step_that_was_skipped_has_no_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss and the norm of its gradient were not finite, which JSON cannot hold."""
    drawn: list[Figure] = []
    monkeypatch.setattr(pyplot, 'close', drawn.append)
    nothing: dict[str, Any] = dict.fromkeys(('loss', 'text', 'grad_norm'))
    write_lines(tmp_path / 'metrics.jsonl', [line(1, grad_norm=1.0), line(2, **nothing), line(3, grad_norm=2.0)])
    draw_curves(tmp_path / 'metrics.jsonl', tmp_path / 'curves.png')
    panels = {axis.get_title(): axis for axis in drawn[0].axes}
    assert all([*panels[name].lines[0].get_xdata()] == [1, 3] for name in nothing)
    assert panels['loss'].get_yscale() == 'log'


def test_rate_of_each_group() -> None:
    groups = [{'name': 'llm', 'lr': 1e-3}, {'lr': 1e-4}]
    assert learning_rates(groups) == {'rate/llm': 1e-3, 'rate/1': 1e-4}
