"""Names of devices, and peak memory."""

from __future__ import annotations

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_model.runtime.device import parse_device, peak_memory_gib, synchronize


def test_auto_is_a_gpu_if_torch_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert parse_device('auto') == torch.device('cpu')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    assert parse_device('auto') == torch.device('cuda')


@pytest.mark.parametrize(
    ('name', 'message'),
    [('tpu9', "expected auto, cpu, cuda or cuda:N, got 'tpu9'"), ('cuda:1', 'torch sees 1 GPU here')],
)
def test_unknown_device_is_refused(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(ConfigError, match=message):
        parse_device(name)


def test_peak_memory_of_a_cpu_is_that_of_the_process() -> None:
    cpu = torch.device('cpu')
    synchronize(cpu)
    assert 0.01 < peak_memory_gib(cpu) < 1000
