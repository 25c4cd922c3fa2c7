"""Number of CPU threads, and how long waiting threads spin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from instructsam_model import ConfigError, prepare_threads
from instructsam_model.runtime import threads
from instructsam_model.runtime.threads import SPIN_COUNT, Threads
from tests.support import ROOT

MODEL = ROOT / 'model'


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set torch's number of threads to four for a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, 'usable_cpus', lambda: 8)
    yield
    torch.set_num_threads(before)


def environment_of_openmp(code: str, **variables: str) -> dict[str, str]:
    """Run a program with these environment variables and return the settings that OpenMP prints when it is loaded."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(('OMP_', 'GOMP_'))}
    environment = {**kept, 'PYTHONPATH': str(MODEL), 'OMP_DISPLAY_ENV': 'VERBOSE', **variables}
    result = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    pairs = (line.partition(' = ') for line in result.stderr.splitlines())
    return {name.split()[-1]: value.strip("'") for name, _, value in pairs if value}


@pytest.mark.skipif(sys.platform != 'linux', reason="GNU's OpenMP comes with the wheels for Linux")
@pytest.mark.parametrize(
    ('code', 'variables', 'spin_count'),
    [
        ('from instructsam_model import prepare_threads as p; assert p(); import torch', {}, str(SPIN_COUNT)),
        ('import instructsam_model, torch', {}, '300000'),
        ('import torch; from instructsam_model import prepare_threads as p; assert not p()', {}, '300000'),
        ('from instructsam_model import prepare_threads as p; p(); import torch', {'GOMP_SPINCOUNT': '7'}, '7'),
        ('from instructsam_model import prepare_threads as p; p(); import torch', {'OMP_WAIT_POLICY': 'PASSIVE'}, '0'),
        ('from instructsam_model.cli.segment import _load, build_parser as b\n'
         'try: _load(b().parse_args(["x", "y", "--device", "tpu"]))\nexcept Exception: pass',
         {}, str(SPIN_COUNT)),
    ],
    ids=['prepared', 'import alone changes nothing', 'too late', 'own count', 'own policy', 'instructsam-segment'],
)  # fmt: skip
def test_prepare_threads_sets_the_spin_count_before_torch_is_imported(
    code: str, variables: dict[str, str], spin_count: str
) -> None:
    assert environment_of_openmp(code, **variables)['GOMP_SPINCOUNT'] == spin_count


def test_prepare_threads_changes_nothing_after_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('GOMP_SPINCOUNT', raising=False)
    assert not prepare_threads()
    assert 'GOMP_SPINCOUNT' not in os.environ


@pytest.mark.parametrize('count', [1, 3, 6])
def test_number_of_threads_is_set_in_the_context_only(count: int) -> None:
    with Threads(count).in_use():
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 4


def test_number_of_threads_is_restored_after_an_error() -> None:
    with pytest.raises(RuntimeError, match='broken'), Threads(1).in_use():
        raise RuntimeError('broken')
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ('free', 'count'), [(None, 4), (0.0, 1), (0.4, 1), (1.4, 1), (2.6, 3), (4.0, 4), (7.9, 4)], ids=str
)
def test_zero_means_one_thread_per_free_cpu(monkeypatch: pytest.MonkeyPatch, free: float | None, count: int) -> None:
    monkeypatch.setattr(threads.FreeCpus, 'count', lambda _: free)
    with Threads().in_use():
        assert torch.get_num_threads() == count


@pytest.mark.parametrize(('torch_threads', 'usable', 'limit'), [(4, 8, 4), (4, 2, 2), (1, 8, 1)])
def test_zero_is_limited_by_the_threads_of_torch_and_usable_cpus(
    monkeypatch: pytest.MonkeyPatch, torch_threads: int, usable: int, limit: int
) -> None:
    torch.set_num_threads(torch_threads)
    monkeypatch.setattr(threads, 'usable_cpus', lambda: usable)
    assert Threads().count() == limit
    assert Threads(5).count() == 5, 'a given number is not limited'


@pytest.mark.parametrize('count', [-1, 1025])
def test_number_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f'threads: expected 1 to 1024, or 0 for one per free CPU, got {count}'):
        Threads(count)


@pytest.mark.parametrize(
    ('count', 'spin_count', 'text'),
    [
        (0, str(SPIN_COUNT), 'up to 4, one per free CPU'),
        (2, str(SPIN_COUNT), '2'),
        (2, None, '2; waiting threads spin, which is slow beside other processes (see prepare_threads)'),
        (1, None, '1'),
    ],
)
def test_description_warns_about_spinning(
    monkeypatch: pytest.MonkeyPatch, count: int, spin_count: str | None, text: str
) -> None:
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    if spin_count is None:
        monkeypatch.delenv('GOMP_SPINCOUNT', raising=False)
    else:
        monkeypatch.setenv('GOMP_SPINCOUNT', spin_count)
    assert str(Threads(count)) == text
