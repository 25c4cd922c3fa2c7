"""instructsam-bench --device fake-cuda: counts, modeled times, and errors.

Covers bench.modeled_tables, bench.modeled_report, bench.profiling, bench.instructsam.accuracy and
bench.instructsam.fake_engines.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from instructsam_model.bench.__main__ import main
from instructsam_model.bench.instructsam.fake_engines import plausible_values
from instructsam_model.bench.report import main as write_page
from instructsam_model.fake_cuda import FakeCuda
from instructsam_model.fake_cuda.gpus import GPUS

COMMAND = ['--device', 'fake-cuda', '--size', '96x96', '--dtype', 'bfloat16']


def run(checkpoint: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Run the command; return its output and the result in the last line."""
    given = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), *COMMAND, *options]
    with redirect_stdout(io.StringIO()) as printed:
        assert main(given) == 0
    return printed.getvalue(), json.loads(printed.getvalue().splitlines()[-1])


@pytest.fixture(scope='module')
def modeled(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """The file that the command wrote, its output, and the result in the last line."""
    file = tmp_path_factory.mktemp('modeled') / 'modeled.json'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('COLUMNS', '250')  # wide enough for all headings
        return file, *run(
            checkpoint, '--instructsam.engine', 'compiled', '--compare-naive', '--gpu', '4090', '--out', str(file)
        )


def test_scenarios_are_counted_and_their_time_is_modeled(modeled: tuple[Path, str, dict[str, Any]]) -> None:
    _, printed, result = modeled
    assert 'These are modeled times, not measurements' in printed
    assert 'instructsam_model/instructsam/postprocess.py:' in printed  # where the host waits
    scenarios = result['scenarios']
    assert list(scenarios) == ['cold', 'same both', 'same frame', 'reworded', 'warm', 'steady', 'naive']
    for name, row in scenarios.items():
        assert row['kernels'] >= row['inductor_kernels'] > 0
        assert row['modeled_ms'] == row['modeled_inductor_ms'] == result['gpus']['4090'][name]['inductor']
        assert row['modeled_inductor_ms'] <= row['modeled_eager_graphs_ms'] <= row['modeled_eager_ms']
        assert sum(stage['kernels'] for stage in row['stages'].values()) == row['kernels']
        assert sum(wait['times'] for wait in row['waits']) == row['host_waits']
        assert 0 < row['peak_memory_gib'] < 1
    ours = [row for name, row in scenarios.items() if name != 'naive']
    assert max(row['launches'] for row in ours) < min(row['kernels'] for row in ours)
    assert set(result['gpus']) == set(GPUS)


def test_eager_engine_is_modeled_without_graphs(checkpoint: Path) -> None:
    _, result = run(checkpoint, '--instructsam.engine', 'eager')
    for row in result['scenarios'].values():
        assert row['launches'] == row['kernels'] + row['host_waits']
        assert row['modeled_ms'] == row['modeled_eager_ms']


def test_page_shows_every_gpu(modeled: tuple[Path, str, dict[str, Any]], tmp_path: Path) -> None:
    file, _, result = modeled
    write_page([str(file), '--out', str(tmp_path / 'page.md')])
    page = (tmp_path / 'page.md').read_text()
    assert '## On a GPU: modeled, not measured' in page
    for name, gpu in GPUS.items():
        cold = result['gpus'][name]['cold']['inductor']
        assert f'| {gpu.title} | {cold:.1f} |' in page
        assert gpu.source in page


@pytest.mark.slow  # 30 s
@pytest.mark.filterwarnings('ignore:torch.compile with fullgraph=True found no compiled frames')
@pytest.mark.filterwarnings('ignore:.*Profiler clears events')
def test_commands_for_a_gpu_run(
    checkpoint: Path, modeled: tuple[Path, str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The arguments of `make bench-gpu`, on fake CUDA."""
    file, _, expected = modeled
    given = ['--architecture', str(checkpoint), '--tokenizer', str(checkpoint), '--size', '96x96', '--repeats', '1']
    more = ['--check', '--compare-naive', '--profile', '--experiments', '--modeled', str(file)]
    with FakeCuda(plausible_values):
        assert main([*given, '--dtype', 'bfloat16', '--device', 'cuda', *more]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result['check']['same_answer'] is True
    assert result['scenarios']['naive']['p50_ms'] > 0
    assert result['scenarios']['warm']['modeled_ms'] == expected['scenarios']['warm']['modeled_ms']
    assert result['scenarios']['warm']['tflop'] == expected['scenarios']['warm']['tflop']
    assert any(row['name'] == 'instructsam: sam3 decode' for row in result['profile'])
    assert {each['experiment']: each.get('failed', '') for each in result['experiments']}['channels last'] == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--architecture', '.', '--sweep'], '--sweep: expected a real device, got --device fake-cuda'),
        ([], '--device fake-cuda: expected --architecture'),
        (['--architecture', '.', '--repeats', '0'], '--repeats: expected at least 1, got 0'),
    ],
)
def test_invalid_arguments_are_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, *options]) == 2
    assert message in capsys.readouterr().err


def test_modeled_file_of_another_kind_is_refused(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(['--checkpoint', str(checkpoint), '--device', 'cpu', '--modeled', str(tmp_path / 'none.json')]) == 2
    assert '--modeled: expected a file of --device fake-cuda --out' in capsys.readouterr().err
