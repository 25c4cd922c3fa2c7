"""`LiveBytes`: how much memory the tensors of a device take, now and at most, real ones or fake ones."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make in its context.

    Tensors of other classes, such as torchao's, are not counted themselves: they consist of tensors that are.

    Attributes:
        now: bytes.
        peak: bytes.
    """

    def __init__(self, device_type: str) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._device_type = device_type
        self._alive: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if type(each) in (torch.Tensor, FakeTensor, Parameter) and each.device.type == self._device_type:
                self._see(each.untyped_storage())
        return result

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._alive:
            return
        self._alive.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size
