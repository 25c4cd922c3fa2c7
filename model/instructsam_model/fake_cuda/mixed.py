"""Detection of operations with tensors on two devices, which fail on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from instructsam_model.fake_cuda.call_site import find_call_site


class MixedDevicesError(RuntimeError):
    """An operation has tensors on the CPU and on CUDA."""


def check_devices(func: Any, tensors: Sequence[Tensor]) -> None:
    """Check that all tensors are on CUDA; as for CUDA's kernels, zero-dimensional tensors may be on the CPU.

    Raises:
        MixedDevicesError: other tensors are on the CPU.
    """
    devices = {tensor.device.type for tensor in tensors}
    # CUDA kernels receive scalars on the CPU as arguments.
    misplaced = [tensor for tensor in tensors if tensor.device.type != 'cuda' and tensor.dim()]
    if len(devices) > 1 and misplaced:
        found = ', '.join(f'{list(tensor.shape)} on {tensor.device}' for tensor in tensors)
        raise MixedDevicesError(
            f'{func._overloadpacket.__name__} at {find_call_site()}: expected all tensors on one device, got {found}; '
            'move the CPU tensors with .to(device)'
        )
