"""Names of devices."""

from __future__ import annotations

import pytest
import torch

from instructsam_model import ConfigError
from instructsam_model.runtime.device import parse_device


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
