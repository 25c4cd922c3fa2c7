"""Parity on the golden data: everything is equal, and a change of any part is detected.

Covers parity.__main__, parity.forward, parity.generate and parity.training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from instructsam_training.parity.__main__ import main
from tests.support import GOLDEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the golden data that a test may change."""
    return Path(shutil.copytree(GOLDEN, tmp_path / 'golden'))


def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, bool]]:
    """Return the exit status, and by result whether it passed."""
    code = main([str(folder)])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    return code, {row['name']: row['passed'] for row in report['differences']}


def test_golden_data_is_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    code, passed = run(GOLDEN, capsys)
    assert code == 0
    assert all(passed.values())
    expected = {
        'query_states',
        'query_embeds',
        'pred_logits',
        'pred_masks',
        'pred_boxes',
        'hybrid mask',
        'position_ids',
    }
    assert {f'forward {name}' for name in expected} <= passed.keys()
    assert {'generate text', 'generate pred_masks', 'generate scores', 'metrics giou', 'metrics AP'} <= passed.keys()


@pytest.mark.parametrize(
    ('key', 'change', 'name'),
    [
        ('forward2_query_states', 2e-5, 'forward query_states'),
        ('forward0_pred_masks', 1e-2, 'forward pred_masks'),
        ('forward1_position_ids', 1, 'forward position_ids'),
        ('forward5_sam_pixel_sum', 1e-3, 'forward pixels'),
        ('generate3_scores', 2e-4, 'generate scores'),
    ],
)
def test_difference_is_detected_and_named(
    folder: Path, key: str, change: float, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(folder / 'golden.npz') as arrays:
        content = {each: arrays[each] for each in arrays.files}
    content[key] = content[key].copy()
    content[key].flat[0] += np.asarray(change, content[key].dtype)
    np.savez(folder / 'golden.npz', **content)
    code, passed = run(folder, capsys)
    assert code == 1
    assert [each for each, same in passed.items() if not same] == [name]


def test_different_text_is_detected(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = json.loads((folder / 'golden.json').read_text())
    golden['generate'][0]['text'] = 'something else'
    (folder / 'golden.json').write_text(json.dumps(golden))
    code, passed = run(folder, capsys)
    assert code == 1
    assert not passed['generate text']


def test_damaged_checkpoint_is_an_error_not_a_difference(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / 'checkpoint' / 'model.safetensors').write_bytes(b'')
    assert main([str(folder)]) == 2
    assert 'model.safetensors' in capsys.readouterr().err
