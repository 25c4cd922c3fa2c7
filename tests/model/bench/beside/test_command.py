"""Back ends beside each other: one row for each, SAM3-I at each level.

Covers bench.beside.__main__, bench.beside.contenders and runtime.random_weights.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from instructsam_model.bench.beside.__main__ import main
from instructsam_model.bench.beside.command import SCENARIOS, render
from instructsam_model.bench.beside.contenders import byte_tokenizer
from instructsam_model.runtime.random_weights import fill_randomly
from tests.support import GOLDEN, ROOT
from tests.support.tiny_sam3i import write_tiny_sam3i


def run(*given: str) -> tuple[str, dict[str, Any]]:
    """Run the command; return its output and the result in the last line."""
    with redirect_stdout(io.StringIO()) as printed:
        assert main(list(given)) == 0
    return printed.getvalue(), json.loads(printed.getvalue().splitlines()[-1])


@pytest.fixture(scope='module')
def delta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam3i(tmp_path_factory.mktemp('tiny') / 'delta')


@pytest.mark.slow
def test_sam3i_is_measured_at_each_level(delta: Path, tmp_path: Path) -> None:
    out = tmp_path / 'result.json'
    printed, result = run(str(delta), '--size', '32x24', '--repeats', '1', '--dtype', 'float32', '--out', str(out))
    assert list(result['rows']) == ['sam3i concept delta', 'sam3i simple delta', 'sam3i complex delta']
    for row in result['rows'].values():
        assert set(row['ms']) == {'cold', 'warm', 'same frame', 'same both'}
    assert json.loads(out.read_text()) == result
    assert 'cold: new frame, new instruction' in printed


def test_table_has_a_row_for_each_and_empty_cells_for_what_is_unknown() -> None:
    times = dict.fromkeys(SCENARIOS, 12.5)
    row = {'parameters': 840_500_000, 'weights_gib': 1.5, 'peak_memory_gib': None, 'ms': times}
    rows = {'sam3': row, 'sam3i simple': {**row, 'parameters': None, 'weights_gib': None}}
    [table] = render({'device': 'a CPU', 'modeled': False, 'size': '64x48', 'dtype': 'auto', 'rows': rows})
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ['sam3', 'sam3i simple']
    assert [column[0] for column in cells[1:]] == ['840.5', '1.5', '', '12.5', '12.5', '12.5', '12.5']
    assert [column[1] for column in cells[1:4]] == ['', '', '']


@pytest.mark.slow
def test_checkpoints_of_several_back_ends(delta: Path) -> None:
    base = str(delta.with_name('delta_base'))
    _, result = run(base, str(delta), str(GOLDEN / 'checkpoint'), '--size', '64x48', '--repeats', '1')
    assert [name.partition(' ')[0] for name in result['rows']] == ['sam3', *['sam3i'] * 3, 'instructsam']


@pytest.mark.slow
def test_published_sizes_are_modeled_on_a_fake_gpu() -> None:
    architecture = str(ROOT / 'training' / 'configs' / 'instructsam-2b')
    printed, result = run('--device', 'fake-cuda', '--architecture', architecture)
    assert 'These are modeled times, not measurements' in printed
    rows = result['rows']
    assert list(rows) == ['sam3', 'sam3i concept', 'sam3i simple', 'sam3i complex', 'instructsam']
    # 312,095,232 in the text encoder, 597,888 in each part of DETR, 394,752 in the mask predictors.
    assert rows['sam3i simple']['parameters'] - rows['sam3']['parameters'] == 313_685_760
    assert rows['sam3i concept']['kernels'] == rows['sam3']['kernels']
    assert rows['sam3']['kernels']['cold'] < rows['sam3i simple']['kernels']['cold']
    assert rows['sam3i simple']['kernels']['cold'] < rows['sam3i complex']['kernels']['cold']
    for row in list(rows.values())[:4]:
        assert set(row['host_waits'].values()) == {2}


def test_wrong_arguments_end_with_a_message(delta: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--device', 'fake-cuda', str(delta)]) == 2
    assert 'fake-cuda: expected no checkpoint' in capsys.readouterr().err
    assert main([str(delta), '--size', 'large']) == 2
    assert "expected width x height such as 640x480, got 'large'" in capsys.readouterr().err
    assert main(['/nowhere/weights']) == 2
    assert 'no such folder' in capsys.readouterr().err


def test_byte_tokenizer_reads_any_text() -> None:
    ids = byte_tokenizer(600, 601)('Löffel 🥄')['input_ids']
    assert (ids[0], ids[-1]) == (600, 601)
    assert 600 not in ids[1:-1]


def test_random_weights_have_their_places() -> None:
    with torch.device('meta'):
        module = nn.Sequential(nn.Linear(20, 30), nn.LayerNorm(30))
    fill_randomly(module, torch.device('cpu'), torch.bfloat16)
    matrix, bias, gain, offset = (parameter.float() for parameter in module.parameters())
    assert 0.015 < matrix.std() < 0.025
    assert torch.equal(torch.stack([bias, gain, offset]).unique(dim=1), torch.tensor([[0.0], [1.0], [0.0]]))
