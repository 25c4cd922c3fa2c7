"""Which precision `dtype: auto` means, and what half of the digits cost on tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_model.runtime import precision
from instructsam_model.runtime.precision import BF16_FLAGS, best_of_cpu, cpu_flags, resolve_dtype, time_ratio
from tests.support import GOLDEN

TABLES = GOLDEN / 'tabletop'
CPU, GPU = torch.device('cpu'), torch.device('cuda')


@pytest.fixture(autouse=True)
def measured_anew() -> Iterator[None]:
    best_of_cpu.cache_clear()
    yield
    best_of_cpu.cache_clear()


@pytest.mark.parametrize(
    ('flags', 'ratio', 'dtype', 'said'),
    [
        ({'avx2', 'avx512_bf16'}, 2.06, torch.bfloat16, 'bfloat16 are 2.06 times as fast as in float32 (avx512_bf16)'),
        ({'amx_bf16'}, 4.0, torch.bfloat16, '4.00 times as fast as in float32 (amx_bf16)'),
        ({'avx512_bf16'}, 0.2, torch.float32, 'bfloat16 are 0.20 times as fast as in float32 (avx512_bf16)'),
        ({'avx512_bf16'}, 1.1, torch.float32, '1.10 times'),
        ({'avx2', 'avx512f'}, 9.0, torch.float32, 'it has none of avx512_bf16, amx_bf16'),
    ],
    ids=['faster', 'matrices', 'emulated', 'hardly faster', 'without the instructions'],
)
def test_a_cpu_takes_what_is_measured_to_be_faster(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flags: set[str],
    ratio: float,
    dtype: torch.dtype,
    said: str,
) -> None:
    monkeypatch.setattr(precision, 'cpu_flags', lambda: frozenset(flags))
    monkeypatch.setattr(precision, 'time_ratio', lambda: ratio)
    with caplog.at_level(logging.INFO, 'instructsam_model'):
        assert resolve_dtype('auto', CPU) == dtype
    (message,) = caplog.messages
    assert message.startswith(f'dtype: {str(dtype).removeprefix("torch.")} on this CPU: ')
    assert said in message


@pytest.mark.parametrize('name', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize('device', [CPU, GPU], ids=str)
def test_a_name_is_obeyed_and_nothing_measured(
    monkeypatch: pytest.MonkeyPatch, name: str, device: torch.device
) -> None:
    monkeypatch.setattr(precision, 'time_ratio', None)
    assert resolve_dtype(name, device) == getattr(torch, name)


def test_a_gpu_takes_what_the_file_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, 'time_ratio', None)
    assert resolve_dtype('auto', GPU) is None


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected auto or one of float32, bfloat16, float16, got 'int8'"):
        resolve_dtype('int8', CPU)


def test_the_measure_is_made_once_and_leaves_torch_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(precision, 'cpu_flags', lambda: frozenset(BF16_FLAGS))
    monkeypatch.setattr(precision, 'time_ratio', lambda measure=time_ratio: calls.append(measure()) or calls[-1])
    before = torch.get_num_threads()
    assert resolve_dtype('auto', CPU) == resolve_dtype('auto', CPU)
    assert len(calls) == 1
    assert 0.01 < calls[0] < 100.0
    assert torch.get_num_threads() == before


def test_flags_are_those_of_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = 'processor : 0\nvmx flags : ept\nflags\t\t: fpu avx512_bf16\n\nprocessor : 1\nflags\t: fpu amx_bf16\n'
    (tmp_path / 'cpuinfo').write_text(text)
    monkeypatch.setattr(precision, 'CPUINFO', tmp_path / 'cpuinfo')
    assert cpu_flags() == {'fpu', 'avx512_bf16'}
    monkeypatch.setattr(precision, 'CPUINFO', tmp_path / 'nowhere')
    assert cpu_flags() == frozenset()
