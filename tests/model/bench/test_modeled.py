"""instructsam-bench --device fake-cuda: what it counts, that it says it is a model, and what it refuses."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.bench.command import main
from instructsam_model.bench.modeled import plausible
from instructsam_model.bench.report import main as write_page
from instructsam_model.fake_cuda import FakeCuda
from instructsam_model.fake_cuda.cards import CARDS

COMMAND = ['--device', 'fake-cuda', '--size', '96x96', '--dtype', 'bfloat16']


def run(checkpoint: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """What is printed, and its last line."""
    given = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), *COMMAND, *options]
    with redirect_stdout(io.StringIO()) as printed:
        assert main(given) == 0
    return printed.getvalue(), json.loads(printed.getvalue().splitlines()[-1])


@pytest.fixture(scope='module')
def modeled(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """The file that the command wrote, what it printed, and its last line."""
    file = tmp_path_factory.mktemp('modeled') / 'modeled.json'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('COLUMNS', '250')  # no heading is folded
        return file, *run(
            checkpoint, '--instructsam.engine', 'compiled', '--compare-naive', '--gpu', '4090', '--out', str(file)
        )


def test_scenarios_are_counted_and_their_time_is_modeled(modeled: tuple[Path, str, dict[str, Any]]) -> None:
    _, printed, result = modeled
    assert 'This is a model, not a measurement' in printed
    assert 'instructsam_model/instructsam/postprocess.py:' in printed  # where the host waits
    scenarios = result['scenarios']
    assert list(scenarios) == ['cold', 'same both', 'same frame', 'reworded', 'warm', 'steady', 'naive']
    for name, row in scenarios.items():
        assert row['kernels'] >= row['inductor_kernels'] > 0
        assert row['modeled_ms'] == row['modeled_inductor_ms'] == result['cards']['4090'][name]['inductor']
        assert row['modeled_inductor_ms'] <= row['modeled_eager_graphs_ms'] <= row['modeled_eager_ms']
        assert sum(stage['kernels'] for stage in row['stages'].values()) == row['kernels']
        assert sum(wait['times'] for wait in row['waits']) == row['host_waits']
        assert 0 < row['peak_memory_gib'] < 1
    ours = [row for name, row in scenarios.items() if name != 'naive']
    assert max(row['launches'] for row in ours) < min(row['kernels'] for row in ours)
    assert set(result['cards']) == set(CARDS)


def test_an_eager_engine_is_modeled_as_such(checkpoint: Path) -> None:
    _, result = run(checkpoint, '--instructsam.engine', 'eager')
    for row in result['scenarios'].values():
        assert row['launches'] == row['kernels'] + row['host_waits']
        assert row['modeled_ms'] == row['modeled_eager_ms']


def test_the_page_shows_every_card(modeled: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    file, _, result = modeled
    write_page([str(file), '--out', str(tmp_path / 'page.md')])
    page = (tmp_path / 'page.md').read_text()
    assert '## On a GPU: modeled, not measured' in page
    for name, card in CARDS.items():
        cold = result['cards'][name]['cold']['inductor']
        assert f'| {card.title} | {cold:.1f} |' in page
        assert card.source in page


@pytest.mark.filterwarnings('ignore:torch.compile with fullgraph=True found no compiled frames')
@pytest.mark.filterwarnings('ignore:.*Profiler clears events')
def test_every_line_for_a_gpu_runs(
    checkpoint: Path, modeled: tuple[Path, str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make bench-gpu` asks for, where there is none."""
    file, _, expected = modeled
    given = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), '--size', '96x96', '--repeats', '1']
    more = ['--check', '--compare-naive', '--profile', '--trials', '--modeled', str(file)]
    with FakeCuda(plausible):
        assert main([*given, '--dtype', 'bfloat16', '--device', 'cuda', *more]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result['check']['same_answer'] is True
    assert result['scenarios']['naive']['p50_ms'] > 0
    assert result['scenarios']['warm']['modeled_ms'] == expected['scenarios']['warm']['modeled_ms']
    assert result['scenarios']['warm']['tflop'] == expected['scenarios']['warm']['tflop']
    assert any(row['name'] == 'instructsam: sam3 decode' for row in result['profile'])
    assert {trial['trial']: trial.get('failed', '') for trial in result['trials']}['channels last'] == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--architecture', '.', '--sweep'], '--sweep: expected a device to measure on, got --device fake-cuda'),
        ([], '--device fake-cuda: expected --architecture'),
        (['--architecture', '.', '--repeats', '0'], '--repeats: expected at least 1, got 0'),
    ],
)
def test_what_cannot_be_modeled_is_said(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_model_is_said(checkpoint: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(['--checkpoint', str(checkpoint), '--device', 'cpu', '--modeled', str(tmp_path / 'none.json')]) == 2
    assert '--modeled: expected a file of --device fake-cuda --out' in capsys.readouterr().err
