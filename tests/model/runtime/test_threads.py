"""How threads of torch wait, and how many there are."""

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
    """torch as on a machine with four CPUs."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, 'usable_cpus', lambda: 8)
    yield
    torch.set_num_threads(before)


def environment_of_openmp(code: str, **variables: str) -> dict[str, str]:
    """What OpenMP shows of its settings in a program with this code and these variables, once torch is imported."""
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
def test_openmp_waits_as_it_was_told_in_time(code: str, variables: dict[str, str], spin_count: str) -> None:
    assert environment_of_openmp(code, **variables)['GOMP_SPINCOUNT'] == spin_count


def test_nothing_is_set_when_it_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('GOMP_SPINCOUNT', raising=False)
    assert not prepare_threads()
    assert 'GOMP_SPINCOUNT' not in os.environ


@pytest.mark.parametrize('count', [1, 3, 6])
def test_a_number_is_kept_while_an_answer_is_computed_and_no_longer(count: int) -> None:
    with Threads(count).in_use():
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 4


def test_an_answer_that_fails_leaves_torch_as_it_was() -> None:
    with pytest.raises(RuntimeError, match='broken'), Threads(1).in_use():
        raise RuntimeError('broken')
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(
    ('free', 'count'), [(None, 4), (0.0, 1), (0.4, 1), (1.4, 1), (2.6, 3), (4.0, 4), (7.9, 4)], ids=str
)
def test_as_many_as_are_free(monkeypatch: pytest.MonkeyPatch, free: float | None, count: int) -> None:
    monkeypatch.setattr(threads.FreeCpus, 'count', lambda _: free)
    with Threads().in_use():
        assert torch.get_num_threads() == count


@pytest.mark.parametrize(('told', 'usable', 'limit'), [(4, 8, 4), (4, 2, 2), (1, 8, 1)])
def test_no_more_than_torch_was_told_and_than_may_be_used(
    monkeypatch: pytest.MonkeyPatch, told: int, usable: int, limit: int
) -> None:
    torch.set_num_threads(told)
    monkeypatch.setattr(threads, 'usable_cpus', lambda: usable)
    assert Threads().count() == limit
    assert Threads(5).count() == 5, 'who names a number gets it'


@pytest.mark.parametrize('count', [-1, 1025])
def test_a_number_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f'threads: expected 1 to 1024, or 0 for as many as are free, got {count}'):
        Threads(count)


@pytest.mark.parametrize(
    ('count', 'waiting', 'said'),
    [
        (0, str(SPIN_COUNT), 'up to 4, as many as are free'),
        (2, str(SPIN_COUNT), '2'),
        (2, None, '2; they spin while they wait, which is slow beside other processes (see prepare_threads)'),
        (1, None, '1'),
    ],
)
def test_it_says_what_will_be_slow(monkeypatch: pytest.MonkeyPatch, count: int, waiting: str | None, said: str) -> None:
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    if waiting is None:
        monkeypatch.delenv('GOMP_SPINCOUNT', raising=False)
    else:
        monkeypatch.setenv('GOMP_SPINCOUNT', waiting)
    assert str(Threads(count)) == said
