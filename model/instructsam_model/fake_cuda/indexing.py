"""Indexing by tensors as on CUDA: a mask is converted to integer indices, for which the host waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from instructsam_model.fake_cuda.known import real_tensors

aten = torch.ops.aten

BY_INDEX = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
_MASKS = (torch.bool, torch.uint8)


def as_integers(tensor: Tensor, indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Convert indices to integers on the tensor's device; each step that waits is recorded as its own operation."""
    integers: list[Tensor | None] = []
    for index in indices:
        if index is None:
            integers.append(index)
            continue
        moved = index.to(tensor.device)  # a copy for which the host waits, if the index is on the CPU
        integers += moved.nonzero().unbind(1) if moved.dtype in _MASKS else [moved]
    return integers


def is_masked_fill(func: Any, args: tuple[Any, ...]) -> bool:
    """Return whether torch runs `masked_fill_` instead: for one mask, and one number on the host."""
    if func._overloadpacket not in (aten.index_put_, aten._index_put_impl_):
        return False
    # The conditions of `canDispatchToMaskedFill` in ATen.
    masks = [each for each in args[1] if each is not None]
    accumulates = len(args) > 3 and args[3]
    known = args[2].numel() == 1 and args[2].device.type == 'cpu'
    return len(masks) == 1 and masks[0].dtype in _MASKS and known and not accumulates


def masked_fill(tensor: Tensor, indices: Sequence[Tensor | None], value: Tensor) -> Tensor:
    """Fill the tensor where the mask among the indices is True; the mask covers as many dimensions as it has."""
    before = next(number for number, each in enumerate(indices) if each is not None)
    mask = indices[before]
    assert mask is not None
    # Dimensions of size 1 on both sides, so that the mask is broadcast.
    behind = tensor.dim() - before - mask.dim()
    with real_tensors():
        number = value.reshape(())
    return tensor.masked_fill_(mask.reshape(*[1] * before, *mask.shape, *[1] * behind), number)
