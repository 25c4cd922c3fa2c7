"""Uploads row numbers to a device without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def upload(rows: Sequence[int] | Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Row numbers as int64 on a device; on a GPU from pinned memory, because the host would wait for the copy else."""
    numbers = torch.tensor(rows, dtype=torch.long)
    if device.type == 'cuda':
        numbers = numbers.pin_memory()
    return numbers.to(device, non_blocking=True)
