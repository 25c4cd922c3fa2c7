"""Reading files of weights while operations make fake tensors: safetensors needs real ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from instructsam_model.weights import tensor_files as weights


class RealTensors:
    """What `safe_open` gives, reading real tensors where operations make fake ones."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def __enter__(self) -> RealTensors:
        self._opened.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)

    def get_tensor(self, name: str) -> torch.Tensor:
        with _disable_current_modes():
            return self._opened.get_tensor(name)


def read_tensors_really(monkeypatch: pytest.MonkeyPatch) -> None:
    safe_open, is_finite = weights.safe_open, weights.is_finite

    def check(*arguments: Any) -> bool:
        with _disable_current_modes():
            return is_finite(*arguments)

    monkeypatch.setattr(weights, 'is_finite', check)
    monkeypatch.setattr(weights, 'safe_open', lambda *args, **options: RealTensors(safe_open(*args, **options)))
