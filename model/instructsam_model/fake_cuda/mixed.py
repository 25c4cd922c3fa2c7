"""Tensors of two devices in one operation, which a GPU would refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from instructsam_model.fake_cuda.place import find_place


class MixedDevicesError(RuntimeError):
    """An operation was given tensors of the CPU and of CUDA."""


def check_devices(func: Any, tensors: Sequence[Tensor]) -> None:
    """Refuse what CUDA's kernels refuse: a single number, a tensor without dimensions, may come from the CPU.

    Raises:
        MixedDevicesError: there are others.
    """
    devices = {tensor.device.type for tensor in tensors}
    strange = [tensor for tensor in tensors if tensor.device.type != 'cuda' and tensor.dim()]
    if len(devices) > 1 and strange:
        found = ', '.join(f'{list(tensor.shape)} on {tensor.device}' for tensor in tensors)
        raise MixedDevicesError(
            f'{func._overloadpacket.__name__} at {find_place()}: expected all tensors on one device, got {found}; '
            'move those of the CPU with .to(device)'
        )
