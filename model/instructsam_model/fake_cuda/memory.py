"""How much memory of the device is alive."""

from __future__ import annotations

import weakref

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class AnswerCache:
    """Counts the bytes of fake storages for as long as they live.

    What a captured graph allocates stays with its pool: the pool, shared by all graphs, is as large as it ever was
    while one was captured, whether its tensors are alive or not.

    Attributes:
        live: bytes of tensors outside of the pool.
        pool: bytes of tensors in it.
        pool_size: bytes that are reserved for it.
    """

    def __init__(self) -> None:
        self.live = 0
        self.pool = 0
        self.pool_size = 0
        self._storages: set[int] = set()

    @property
    def total(self) -> int:
        """Bytes that are taken."""
        return self.live + self.pool_size

    def track(self, tensor: Tensor, *, capturing: bool) -> None:
        """Count the storage of a tensor, if it is not counted yet."""
        if not isinstance(tensor, FakeTensor) or tensor.device.type != 'cuda':
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
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
