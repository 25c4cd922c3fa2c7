"""Memory of the host that a device can read by itself, while the host goes on."""

from __future__ import annotations

import weakref

from torch import Tensor

from instructsam_model.fake_cuda.known import really


class Pinned:
    """Remembers which storages of the host are pinned; there is no driver to pin them."""

    def __init__(self) -> None:
        self._storages: set[int] = set()

    def holds(self, tensor: Tensor) -> bool:
        """Is it pinned? Views of pinned tensors are."""
        return tensor.device.type == 'cpu' and tensor.untyped_storage()._cdata in self._storages

    def pin(self, tensor: Tensor) -> Tensor:
        """A pinned copy, or the tensor itself if it is pinned."""
        if self.holds(tensor):
            return tensor
        if tensor.device.type != 'cpu':
            raise RuntimeError(f'pin_memory: only tensors of the CPU can be pinned, got one on {tensor.device}')
        with really():
            copy = tensor.detach().clone()
        return self.mark(copy)

    def mark(self, tensor: Tensor) -> Tensor:
        """Take a tensor of the CPU as pinned."""
        storage = tensor.untyped_storage()
        self._storages.add(key := storage._cdata)
        weakref.finalize(storage, self._storages.discard, key).atexit = False
        return tensor
