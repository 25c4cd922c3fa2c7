"""Pinned (page-locked) host memory, from which a device copies asynchronously."""

from __future__ import annotations

import weakref

from torch import Tensor

from instructsam_model.fake_cuda.known import real_tensors


class PinnedMemory:
    """Keeps track of storages that count as pinned; without a driver, no memory is actually pinned."""

    def __init__(self) -> None:
        self._storages: set[int] = set()

    def holds(self, tensor: Tensor) -> bool:
        """Return whether a tensor, or the tensor of which it is a view, is pinned."""
        return tensor.device.type == 'cpu' and tensor.untyped_storage()._cdata in self._storages

    def pin(self, tensor: Tensor) -> Tensor:
        """Return a pinned copy, or the tensor itself if it is pinned."""
        if self.holds(tensor):
            return tensor
        if tensor.device.type != 'cpu':
            raise RuntimeError(f'pin_memory: expected a CPU tensor, got one on {tensor.device}')
        with real_tensors():
            copy = tensor.detach().clone()
        return self.mark(copy)

    def mark(self, tensor: Tensor) -> Tensor:
        """Mark a CPU tensor as pinned."""
        # By storage, so that views are pinned too; addresses of freed storages are used again.
        storage = tensor.untyped_storage()
        self._storages.add(key := storage._cdata)
        weakref.finalize(storage, self._storages.discard, key).atexit = False
        return tensor
