"""A checkpoint in another precision.

Covers engine.card and evaluation.report.card.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from instructsam_model.instructsam.model_card import read_card
from instructsam_training.cli.publish import main
from tests.support.small_run import GOLDEN


def test_checkpoint_is_written_in_another_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(GOLDEN / 'checkpoint'), '--out', str(tmp_path / 'half')])
    printed = json.loads(capsys.readouterr().out)
    assert printed['out'] == str(tmp_path / 'half')
    assert printed['megabytes'] > 1
    before = load_file(GOLDEN / 'checkpoint' / 'model.safetensors')
    written = load_file(tmp_path / 'half' / 'model.safetensors')
    assert written.keys() == before.keys()
    name = 'model.language_model.layers.0.mlp.up_proj.weight'
    assert torch.equal(written[name], before[name].bfloat16())


def test_card_is_kept_and_gets_the_results_of_evaluations(tmp_path: Path) -> None:
    report = {
        'benchmark': 'reasonseg',
        'settings': {'split': 'val'},
        'overall': {'queries': 200, 'gIoU': 0.5123, 'cIoU': None},
    }
    (tmp_path / 'report.json').write_text(json.dumps(report))
    first, second = tmp_path / 'first', tmp_path / 'second'
    main([str(GOLDEN / 'checkpoint'), '--out', str(first), '--report', str(tmp_path / 'report.json')])
    main([str(first), '--out', str(second), '--dtype', 'float32'])
    card = read_card(second)
    assert card is not None
    [result] = card.data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_type) == ('reasonseg', 'val', 'gIoU')
    assert result.metric_value == 51.23
    assert card.data.metrics == ['gIoU']
    assert str(tmp_path) not in card.content


@pytest.mark.parametrize('content', ['{', '[]', '{"benchmark": "reasonseg"}'])
def test_file_that_is_no_report_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / 'report.json').write_text(content)
    with pytest.raises(SystemExit, match=r'report\.json: expected the report\.json of an evaluation, got'):
        main([str(GOLDEN / 'checkpoint'), '--out', str(tmp_path / 'out'), '--report', str(tmp_path / 'report.json')])
    assert not (tmp_path / 'out').exists()


def test_nonempty_output_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match='expected a new or empty folder'):
        main([str(GOLDEN / 'checkpoint'), '--out', str(tmp_path)])
