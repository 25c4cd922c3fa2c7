"""Uploads small tensors, such as row numbers, to a device without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def upload(rows: Sequence[int] | Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Row numbers as int64 on a device, see `upload_tensor`."""
    return upload_tensor(torch.tensor(rows, dtype=torch.long), device)


def upload_tensor(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; to a GPU from pinned memory, because the host would wait for the copy else."""
    if device.type == 'cuda':
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
