"""`hash_base`: recognizes the SAM3 that adapters were trained on, in either layout and in float32 or bfloat16."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

VALUES_PER_TENSOR = 8


def hash_base(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of names, shapes and some values of tensors, as hexadecimal digits.

    The values are rounded to bfloat16, the coarsest precision in which SAM3 is stored.

    Args:
        tensors: by the names of `transformers.Sam3Model`, see `sam3.checkpoint.open_tensors`.
    """
    lines = sorted(f'{name} {list(tensor.shape)} {_few_values(tensor)}' for name, tensor in tensors)
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def _few_values(tensor: Tensor) -> list[float]:
    # Only the pages of these values are read of a memory-mapped tensor that is contiguous.
    flat = tensor.reshape(-1)
    places = torch.linspace(0, len(flat) - 1, min(VALUES_PER_TENSOR, len(flat)), dtype=torch.float64).long()
    values: list[float] = flat[places].to(torch.bfloat16).tolist()
    return values
