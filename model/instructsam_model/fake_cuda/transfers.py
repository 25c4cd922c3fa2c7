"""Copies between host and device, synchronous and asynchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from instructsam_model.fake_cuda.known import real_tensors

if TYPE_CHECKING:
    from instructsam_model.fake_cuda.recorder import FakeCuda

aten = torch.ops.aten


def is_transfer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an operation copies between host and device."""
    if func._overloadpacket is aten.copy_:
        return bool(args[0].device.type != args[1].device.type)
    if func._overloadpacket is not aten._to_copy or kwargs.get('device') is None:
        return False
    target = torch.device(kwargs['device'])
    return bool(target.type != args[0].device.type)


def copy_between(cuda: FakeCuda, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Copy a tensor with its known values; the host waits unless the copy is asynchronous and the memory pinned."""
    # 1. `target.copy_(source)`.
    if func._overloadpacket is aten.copy_:
        target, source = args[:2]
        non_blocking = bool(args[2] if len(args) > 2 else kwargs.get('non_blocking', False))
        if isinstance(target, FakeTensor):
            cuda.values.propagate(func, (target, source), {}, target)
            _note_copy(cuda, 'H2D', source, target, non_blocking and cuda.pinned.holds(source))
        else:
            with _disable_current_modes():
                target.copy_(cuda.read(source))
            _note_copy(cuda, 'D2H', source, target, non_blocking and cuda.pinned.holds(target))
        result: Tensor = target
        return result
    # 2. `source.to('cpu')`.
    source, non_blocking = args[0], bool(kwargs.get('non_blocking', False))
    if isinstance(source, FakeTensor):
        with real_tensors():
            values = cuda.read(source).to(kwargs.get('dtype') or source.dtype)
        if non_blocking:  # torch allocates pinned memory for the result
            cuda.pinned.mark(values)
        _note_copy(cuda, 'D2H', source, values, non_blocking)
        return values
    # 3. `source.to('cuda')`.
    with real_tensors():
        converted = source.detach().to(kwargs.get('dtype') or source.dtype)
    uploaded = cuda.wrap(converted, known=cuda.values.can_track(converted))
    _note_copy(cuda, 'H2D', source, uploaded, non_blocking and cuda.pinned.holds(source))
    return uploaded


def _note_copy(cuda: FakeCuda, direction: str, source: Tensor, target: Tensor, asynchronous: bool) -> None:
    """Record a copy; with a change of dtype, or of a non-contiguous tensor, it needs a kernel on the device too."""
    if not target.numel():
        return
    converts = source.dtype != target.dtype or (direction == 'D2H' and not source.is_contiguous())
    memory = 'pinned' if asynchronous or cuda.pinned.holds(source) or cuda.pinned.holds(target) else 'pageable'
    size = target.numel() * target.element_size()
    cuda.note(
        'kernel' if asynchronous else 'wait',
        f'copy {direction}',
        launches=1 + converts,
        bytes=size,
        dtype=str(target.dtype).removeprefix('torch.'),
        shape=tuple(target.shape),
        note=f'{memory} memory, {size} bytes',
    )
