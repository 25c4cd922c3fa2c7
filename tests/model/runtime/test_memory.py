"""Peak memory of this process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from instructsam_model.runtime.memory import peak_memory_gib


def test_peak_of_main_memory_grows_with_what_is_touched_and_stays() -> None:
    before = peak_memory_gib(torch.device('cpu'))
    array = np.ones(64 * 2**20, np.float64)  # 0.5 GiB
    grown = peak_memory_gib(torch.device('cpu'))
    del array
    assert 0.05 < grown < 64
    assert grown >= before
    assert peak_memory_gib(torch.device('cpu')) == pytest.approx(grown, abs=0.05)


def test_default_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: 3 * 2**30)
    assert peak_memory_gib() == 3.0
    assert peak_memory_gib(torch.device('cpu')) != 3.0
