"""Choice of the dtype, in particular for `dtype: auto`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_model.runtime import precision
from instructsam_model.runtime.precision import (
    BF16_FLAGS,
    cpu_flags,
    fastest_cpu_dtype,
    measure_bfloat16_speedup,
    resolve_dtype,
)

CPU, GPU = torch.device('cpu'), torch.device('cuda')


@pytest.fixture(autouse=True)
def no_cached_measurement() -> Iterator[None]:
    fastest_cpu_dtype.cache_clear()
    yield
    fastest_cpu_dtype.cache_clear()


@pytest.mark.parametrize(
    ('flags', 'speedup', 'dtype', 'reason'),
    [
        ({'avx2', 'avx512_bf16'}, 2.06, torch.bfloat16, 'bfloat16 are 2.06 times as fast as in float32 (avx512_bf16)'),
        ({'amx_bf16'}, 4.0, torch.bfloat16, '4.00 times as fast as in float32 (amx_bf16)'),
        ({'avx512_bf16'}, 0.2, torch.float32, 'bfloat16 are 0.20 times as fast as in float32 (avx512_bf16)'),
        ({'avx512_bf16'}, 1.1, torch.float32, '1.10 times'),
        ({'avx2', 'avx512f'}, 9.0, torch.float32, 'it has none of the flags avx512_bf16, amx_bf16'),
    ],
    ids=['faster', 'AMX', 'emulated', 'hardly faster', 'without the instructions'],
)
def test_auto_on_a_cpu_is_the_faster_dtype(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flags: set[str],
    speedup: float,
    dtype: torch.dtype,
    reason: str,
) -> None:
    monkeypatch.setattr(precision, 'cpu_flags', lambda: frozenset(flags))
    monkeypatch.setattr(precision, 'measure_bfloat16_speedup', lambda: speedup)
    with caplog.at_level(logging.INFO, 'instructsam_model'):
        assert resolve_dtype('auto', CPU) == dtype
    (message,) = caplog.messages
    assert message.startswith(f'dtype: {str(dtype).removeprefix("torch.")} on this CPU: ')
    assert reason in message


@pytest.mark.parametrize('name', ['float32', 'bfloat16', 'float16'])
@pytest.mark.parametrize('device', [CPU, GPU], ids=str)
def test_named_dtype_is_used_without_measuring(
    monkeypatch: pytest.MonkeyPatch, name: str, device: torch.device
) -> None:
    monkeypatch.setattr(precision, 'measure_bfloat16_speedup', None)
    assert resolve_dtype(name, device) == getattr(torch, name)


def test_auto_on_a_gpu_is_the_stored_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, 'measure_bfloat16_speedup', None)
    assert resolve_dtype('auto', GPU) is None


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected auto or one of float32, bfloat16, float16, got 'int8'"):
        resolve_dtype('int8', CPU)


def test_speedup_is_measured_once_and_the_number_of_threads_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def measure() -> float:
        calls.append(measure_bfloat16_speedup())
        return calls[-1]

    monkeypatch.setattr(precision, 'cpu_flags', lambda: frozenset(BF16_FLAGS))
    monkeypatch.setattr(precision, 'measure_bfloat16_speedup', measure)
    before = torch.get_num_threads()
    assert resolve_dtype('auto', CPU) == resolve_dtype('auto', CPU)
    assert len(calls) == 1
    assert 0.01 < calls[0] < 100.0
    assert torch.get_num_threads() == before


def test_cpu_flags_are_read_from_cpuinfo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = 'processor : 0\nvmx flags : ept\nflags\t\t: fpu avx512_bf16\n\nprocessor : 1\nflags\t: fpu amx_bf16\n'
    (tmp_path / 'cpuinfo').write_text(text)
    monkeypatch.setattr(precision, 'CPUINFO', tmp_path / 'cpuinfo')
    assert cpu_flags() == {'fpu', 'avx512_bf16'}
    monkeypatch.setattr(precision, 'CPUINFO', tmp_path / 'nowhere')
    assert cpu_flags() == frozenset()
