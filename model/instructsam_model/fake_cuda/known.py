"""Known values of fake tensors: positions, masks and indices are tracked, so that code can depend on them.

Values belong to storages, as in memory: views see what was written through the base, and writing an unknown value makes
the whole storage unknown.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

aten = torch.ops.aten
MAX_INTEGERS, MAX_FLOATS = 4_000_000, 65_536
"""Largest tensors of integers and of floating-point numbers whose values are tracked, elements."""
_WITHOUT_VALUES = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
_OVERWRITES = {aten.copy_, aten.fill_, aten.zero_}


@contextmanager
def real_tensors() -> Iterator[None]:
    """Compute with real tensors, without the fake modes and outside of inference mode."""
    with _disable_current_modes(), torch.inference_mode(False), torch.no_grad():
        yield


class KnownValues:
    """Tracks the known values of fake storages."""

    def __init__(self) -> None:
        self._buffers: dict[int, Tensor] = {}  # bytes of a storage, by its address

    def get(self, tensor: Tensor) -> Tensor | None:
        """Return the value of a tensor as a writable view; None if it is unknown."""
        if not isinstance(tensor, FakeTensor):
            return tensor
        buffer = self._buffers.get(tensor.untyped_storage()._cdata)
        if buffer is None:
            return None
        with real_tensors():
            return buffer.view(tensor.dtype).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def put(self, tensor: FakeTensor, value: Tensor) -> None:
        """Store the value of a new tensor that has no other views yet."""
        buffer = self._allocate(tensor)
        if buffer is not None:
            buffer.copy_(value)

    @staticmethod
    def can_track(value: Tensor) -> bool:
        """Return whether a value is small enough to be tracked."""
        return _is_small(value)

    def forget(self, tensor: Tensor) -> None:
        """Mark the storage of a tensor as unknown."""
        if isinstance(tensor, FakeTensor):
            self._buffers.pop(tensor.untyped_storage()._cdata, None)

    def propagate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Compute the values of an operation's outputs, or of the tensors it writes, if its inputs are known."""
        if func._schema.is_mutable:
            self._propagate_write(func, args, kwargs)
            return
        # Only new storages can get a value; views share that of their base.
        results = [each for each in tree_flatten(out)[0] if isinstance(each, FakeTensor)]
        fresh = [each for each in results if each.untyped_storage()._cdata not in self._buffers]
        if not fresh or func._overloadpacket in _WITHOUT_VALUES or not all(map(_is_small, fresh)):
            return
        if torch.Tag.nondeterministic_seeded in func.tags or _is_alias(func):
            return
        # Run the operation on the known values of its inputs.
        real = self._real(args, kwargs)
        if real is None:
            return
        with real_tensors():
            value = func(*real[0], **real[1])
            for fake, known in zip(tree_flatten(out)[0], tree_flatten(value)[0], strict=True):
                if isinstance(fake, FakeTensor):
                    self.put(fake, known)

    def _propagate_write(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        written = list(written_tensors(func, args, kwargs))
        # An unknown storage becomes known when all of it is overwritten.
        if func._overloadpacket in _OVERWRITES and self.get(args[0]) is None and _is_whole(args[0]):
            self._allocate(args[0])
        real = self._real(args, kwargs)
        if real is None or torch.Tag.nondeterministic_seeded in func.tags:
            for tensor in written:
                self.forget(tensor)
            return
        with real_tensors():
            func(*real[0], **real[1])

    def _real(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
        """Replace fake tensors in the arguments by their values on the CPU; None if one is unknown."""
        flat = tree_flatten((args, kwargs))[0]
        if any(isinstance(each, FakeTensor) and self.get(each) is None for each in flat):
            return None
        arguments, options = tree_map(self._real_value, (list(args), dict(kwargs)))
        options.pop('pin_memory', None)
        return arguments, options

    def _real_value(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.get(value)
        return torch.device('cpu') if isinstance(value, torch.device) else value

    def _allocate(self, tensor: Tensor) -> Tensor | None:
        """Allocate memory for the value of a tensor; None if it is too large to be tracked."""
        storage = tensor.untyped_storage()
        if not isinstance(tensor, FakeTensor) or not _is_small(tensor):
            return None
        with real_tensors():
            buffer = torch.zeros(storage.nbytes(), dtype=torch.uint8)
        self._buffers[key := storage._cdata] = buffer
        # Forget the value when the storage is freed, because its address may be reused.
        weakref.finalize(storage, self._buffers.pop, key, None).atexit = False
        return self.get(tensor)


def written_tensors(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors that an operation writes to."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            yield from (each for each in tree_flatten(value)[0] if isinstance(each, Tensor))


def _is_small(tensor: Tensor) -> bool:
    floating = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    return tensor.untyped_storage().nbytes() <= (MAX_FLOATS if floating else MAX_INTEGERS) * tensor.element_size()


def _is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor covers its whole storage."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes() and 0 not in tensor.stride()


def _is_alias(func: Any) -> bool:
    return any(each.alias_info is not None for each in func._schema.returns)
