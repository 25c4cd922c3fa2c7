"""Accounting of device memory."""

from __future__ import annotations

import weakref

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class DeviceMemory:
    """Counts the bytes of fake storages that are alive.

    Memory allocated during a graph capture comes from a pool that all graphs share. The pool never shrinks: its size is
    the largest amount that was alive in it.

    Attributes:
        live: bytes of tensors outside of the pool.
        pool: bytes of tensors in the pool.
        pool_size: bytes reserved for the pool.
    """

    def __init__(self) -> None:
        self.live = 0
        self.pool = 0
        self.pool_size = 0
        self._storages: set[int] = set()

    @property
    def total(self) -> int:
        """Bytes in use: live tensors and the pool."""
        return self.live + self.pool_size

    def track(self, tensor: Tensor, *, capturing: bool) -> None:
        """Count the storage of a tensor until it is freed, unless it is counted already."""
        if not isinstance(tensor, FakeTensor) or tensor.device.type != 'cuda':
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        # Views share the storage of their base.
        if key in self._storages:
            return
        self._storages.add(key)
        # Memory of a pool stays part of it, so remember where the storage was allocated.
        self._add(size, capturing)
        weakref.finalize(storage, self._release, key, size, capturing).atexit = False

    def _add(self, size: int, in_pool: bool) -> None:
        if in_pool:
            self.pool += size
            self.pool_size = max(self.pool_size, self.pool)
        else:
            self.live += size

    def _release(self, key: int, size: int, in_pool: bool) -> None:
        self._storages.discard(key)
        self._add(-size, in_pool)
