"""`FakeCuda`: a context in which CUDA tensors have shapes and dtypes but no memory, and operations are recorded."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from instructsam_model.fake_cuda.attention import attend
from instructsam_model.fake_cuda.backward import backward_without_driver
from instructsam_model.fake_cuda.call_site import find_call_site
from instructsam_model.fake_cuda.cuda_graph import FakeGraph, capture_into
from instructsam_model.fake_cuda.device import Streams, fake_device
from instructsam_model.fake_cuda.dispatch import Dispatch
from instructsam_model.fake_cuda.known import KnownValues, real_tensors
from instructsam_model.fake_cuda.memory import DeviceMemory
from instructsam_model.fake_cuda.pinned import PinnedMemory
from instructsam_model.fake_cuda.recording import REST, Kind, Op, Recording
from instructsam_model.runtime.stages import observed

CUDA = torch.device('cuda', 0)


class CaptureError(Exception):
    """An operation cannot be captured. Not a RuntimeError, so that an engine does not continue without the graph."""


class FakeCuda:
    """A context with a fake GPU; see the docstring of the package.

    Args:
        unknown: returns a CPU tensor of values when the host reads a CUDA tensor with unknown values; None for zeros.

    Attributes:
        values: known values of CUDA tensors.
        memory: accounting of device memory.
        pinned: pinned host memory.
    """

    def __init__(self, unknown: Callable[[Tensor], Tensor] | None = None) -> None:
        self.values = KnownValues()
        self.memory = DeviceMemory()
        self.pinned = PinnedMemory()
        self._unknown = unknown or _zeros
        self._streams = Streams(self.note)
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._stage = REST
        self._graph = ''
        self._region = 0
        self._recordings = [Recording()]
        self._stack = ExitStack()

    def __enter__(self) -> FakeCuda:
        with ExitStack() as stack:
            memory = self.memory
            stack.enter_context(self._mode)  # before the fake GPU exists: the mode asks whether CUDA is available
            stack.enter_context(
                fake_device(self._streams, self.note, lambda: memory.total, self._peak_bytes, lambda: self.is_capturing)
            )
            for owner, name, function in self._replacements():
                stack.enter_context(patch.object(owner, name, function))
            stack.enter_context(backward_without_driver())
            stack.enter_context(observed(self._in_stage))
            stack.enter_context(Dispatch(self))  # last, so that it sees each operation first
            # If one of these fails, those before it are undone.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Record the operations of this context separately."""
        recording = Recording()
        self._recordings.append(recording)
        self.note_memory()
        try:
            yield recording
        finally:
            self._recordings.pop()

    @property
    def is_capturing(self) -> bool:
        """Whether a graph is being captured."""
        return bool(self._graph)

    @contextmanager
    def graph(self, name: str) -> Iterator[Recording]:
        """Capture the operations of this context; `replay` launches them.

        Raises:
            CaptureError: the host waits for the device, or another graph is being captured.
        """
        if self._graph:
            raise CaptureError(f'graph {name}: expected one capture at a time, {self._graph} is being captured')
        self._graph = name
        captured = Recording()
        self._recordings.append(captured)
        try:
            yield captured
        finally:
            self._recordings.pop()
            self._graph = ''

    def replay(self, name: str, captured: Recording) -> None:
        """Launch a captured graph."""
        self.note('replay', f'graph {name}', launches=0)
        for op in captured.ops:
            # In the stage of the replay, which may be another one than that of the capture.
            self._record(Op(**{**vars(op), 'stage': self._stage, 'graph': name}))

    @contextmanager
    def region(self, number: int) -> Iterator[list[Op]]:
        """Mark the operations of this context with a number; yields a list that is filled with them at the end."""
        before, self._region = self._region, number
        ops = self._recordings[-1].ops
        start = len(ops)
        marked: list[Op] = []
        try:
            yield marked
        finally:
            self._region = before
            marked += ops[start:]

    def uncounted_like(self, tensor: Tensor) -> Tensor:
        """Return a fake tensor like another one that does not count as device memory."""
        with _disable_current_modes(), self._mode, torch.inference_mode(False):
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)

    def note(self, kind: Kind, name: str, **more: Any) -> None:
        """Record an operation.

        Args:
            kind: see `Op`.
            name: of the operation.
            more: further attributes of `Op`.

        Raises:
            CaptureError: the host would wait during the capture of a graph.
        """
        call_site = find_call_site()
        # On a GPU too, waiting during a capture is an error.
        if self._graph and kind == 'wait':
            raise CaptureError(
                f'{name} at {call_site}: the host waits for the device during the capture of graph {self._graph}; '
                'keep the values on the device'
            )
        stream = self._streams.current.stream_id
        self._record(
            Op(name, kind, self._stage, call_site, graph=self._graph, region=self._region, stream=stream, **more)
        )

    def note_memory(self) -> None:
        """Record how much device memory is in use."""
        for recording in self._recordings:
            recording.note_memory(self._stage, self.memory.total)

    def read(self, tensor: Tensor) -> Tensor:
        """Return the values of a CUDA tensor on the CPU, those of `FakeCuda(unknown=...)` if they are unknown."""
        known = self.values.get(tensor)
        with real_tensors():
            return self._unknown(tensor) if known is None else known.clone()

    def wrap(self, value: Tensor, *, known: bool) -> FakeTensor:
        """Return a CUDA tensor with the shape of a CPU tensor, and with its values if they are known."""
        with self._mode:
            tensor = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
        fake = cast(FakeTensor, tensor)
        if known:
            with real_tensors():
                self.values.put(fake, value)
        self.memory.track(fake, capturing=self.is_capturing)
        self.note_memory()
        return fake

    def _record(self, op: Op) -> None:
        self._recordings[-1].ops.append(op)

    def _peak_bytes(self) -> int:
        return max(recording.peak_bytes for recording in self._recordings)

    @contextmanager
    def _in_stage(self, name: str) -> Iterator[None]:
        before, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = before

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        """Yield owner, name and replacement of torch functions that need a driver or bypass the dispatcher."""
        real_attention = F.scaled_dot_product_attention

        def attention(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            chosen = attend if isinstance(query, FakeTensor) else real_attention
            return chosen(query, *args, **kwargs)

        # Tensors and attention.
        yield F, 'scaled_dot_product_attention', attention
        yield FakeTensor, 'tolist', _tolist
        yield FakeTensor, 'numpy', _refuse_numpy
        yield Tensor, 'pin_memory', lambda tensor, *_: self.pinned.pin(tensor)
        yield Tensor, 'is_pinned', lambda tensor, *_: self.pinned.holds(tensor)
        yield Tensor, 'record_stream', lambda *_: None
        # CUDA graphs.
        yield torch.cuda, 'CUDAGraph', functools.partial(FakeGraph, self)
        yield torch.cuda, 'graph', capture_into
        yield torch.cuda, 'graph_pool_handle', lambda: (0, 0)
        yield from _torch_replacements()


def _torch_replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield owner, name and replacement of functions that do not depend on a `FakeCuda`."""
    real_swap, real_tensor = torch.utils.swap_tensors, torch.tensor

    def swap(one: Tensor, other: Tensor) -> None:
        """Skip swaps that `Module.to` makes without a change; torch refuses them for referenced tensors."""
        if one.device != other.device or one.dtype != other.dtype:
            real_swap(one, other)  # type: ignore[no-untyped-call]

    def tensor(data: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Read CUDA tensors in lists one by one, as torch does."""
        read = tree_map(lambda each: each.tolist() if isinstance(each, FakeTensor) else each, data)
        return real_tensor(read if isinstance(data, (list, tuple)) else data, *args, **kwargs)

    # Gradient clipping and optimizers use the fused "foreach" operations for these types only.
    foreach = torch.utils._foreach_utils
    yield foreach, '_foreach_supported_types', [*foreach._foreach_supported_types, FakeTensor]
    yield torch, 'tensor', tensor
    yield torch.utils, 'swap_tensors', swap
    # transformers otherwise takes the code path for tracing.
    with contextlib.suppress(ImportError):
        from transformers.utils import import_utils

        yield import_utils, 'is_fake_tensor', lambda _: False


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _tolist(tensor: Tensor) -> Any:
    """Copy a tensor to the host once, then list its values."""
    return tensor.cpu().tolist()


def _refuse_numpy(tensor: Tensor, *_: Any, **__: Any) -> Any:
    raise TypeError(
        f'numpy at {find_call_site()}: expected a CPU tensor, got one on {tensor.device}; copy it with .cpu()'
    )
