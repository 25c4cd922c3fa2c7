"""`FakeCuda`: a context in which `cuda` tensors have a shape and a type but no memory, and everything is recorded."""

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
from instructsam_model.fake_cuda.cuda_graph import FakeGraph, capture_into
from instructsam_model.fake_cuda.device import Streams, cuda_is_there
from instructsam_model.fake_cuda.dispatch import Dispatch
from instructsam_model.fake_cuda.known import KnownValues, really
from instructsam_model.fake_cuda.memory import AnswerCache
from instructsam_model.fake_cuda.pinned import Pinned
from instructsam_model.fake_cuda.place import find_place
from instructsam_model.fake_cuda.recording import REST, Kind, Op, Recording
from instructsam_model.runtime.stages import observed

CUDA = torch.device('cuda', 0)


class CaptureError(Exception):
    """A graph asks for something that CUDA cannot capture; no RuntimeError, lest an engine go on without the graph."""


class FakeCuda:
    """See the package's description.

    Args:
        unknown: gives the values of a CUDA tensor, on the CPU, when the host reads it and they are not known; None for
            zeros.

    Attributes:
        values: what is known of the contents of tensors.
        memory: what is alive of them.
        pinned: memory of the host that the device can read.
    """

    def __init__(self, unknown: Callable[[Tensor], Tensor] | None = None) -> None:
        self.values = KnownValues()
        self.memory = AnswerCache()
        self.pinned = Pinned()
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
            stack.enter_context(self._mode)  # before torch believes in a GPU: it asks whether there is one
            stack.enter_context(
                cuda_is_there(
                    self._streams, self.note, lambda: memory.total, self._peak_bytes, lambda: self.is_capturing
                )
            )
            for owner, name, function in self._stand_ins():
                stack.enter_context(patch.object(owner, name, function))
            stack.enter_context(backward_without_driver())
            stack.enter_context(observed(self._in_stage))
            stack.enter_context(Dispatch(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Record what is done in this context by itself."""
        recording = Recording()
        self._recordings.append(recording)
        self.note_memory()
        try:
            yield recording
        finally:
            self._recordings.pop()

    @property
    def is_capturing(self) -> bool:
        """Is a graph being captured?"""
        return bool(self._graph)

    @contextmanager
    def graph(self, name: str) -> Iterator[Recording]:
        """Capture what is launched in this context; `replay` gives it to the device.

        Raises:
            CaptureError: the host waits for the device, or another graph is being captured.
        """
        if self._graph:
            raise CaptureError(f'graph {name}: {self._graph} is being captured; expected one at a time')
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
            self._record(Op(**{**vars(op), 'stage': self._stage, 'graph': name}))

    @contextmanager
    def region(self, number: int) -> Iterator[list[Op]]:
        """Mark what is recorded in this context with a number; gives the list that it is added to."""
        before, self._region = self._region, number
        ops = self._recordings[-1].ops
        start = len(ops)
        found: list[Op] = []
        try:
            yield found
        finally:
            self._region = before
            found += ops[start:]

    def stand_in_for(self, tensor: Tensor) -> Tensor:
        """A tensor like another one, that takes no memory in the recording."""
        with _disable_current_modes(), self._mode, torch.inference_mode(False):
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)

    def note(self, kind: Kind, name: str, **more: Any) -> None:
        """Record something that the host asks for.

        Raises:
            CaptureError: the host would wait while a graph is captured.
        """
        place = find_place()
        if self._graph and kind == 'wait':
            raise CaptureError(
                f'{name} at {place}: the host waits for the device while graph {self._graph} is captured; '
                'expected values to stay on the device'
            )
        stream = self._streams.current.stream_id
        self._record(Op(name, kind, self._stage, place, graph=self._graph, region=self._region, stream=stream, **more))

    def note_memory(self) -> None:
        """Record how much memory is alive."""
        for recording in self._recordings:
            recording.note_memory(self._stage, self.memory.total)

    def read(self, tensor: Tensor) -> Tensor:
        """The values of a CUDA tensor, on the CPU."""
        known = self.values.get(tensor)
        with really():
            return self._unknown(tensor) if known is None else known.clone()

    def wrap(self, value: Tensor, *, known: bool) -> FakeTensor:
        """A CUDA tensor of the shape of a CPU tensor, and of its value if it is known."""
        with self._mode:
            tensor = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
        fake = cast(FakeTensor, tensor)
        if known:
            with really():
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

    def _stand_ins(self) -> Iterator[tuple[Any, str, Any]]:
        """What of torch asks the driver, or does not go through operations."""
        attend_really = F.scaled_dot_product_attention

        def attention(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            chosen = attend if isinstance(query, FakeTensor) else attend_really
            return chosen(query, *args, **kwargs)

        yield F, 'scaled_dot_product_attention', attention
        yield FakeTensor, 'tolist', _listed
        yield FakeTensor, 'numpy', _no_array
        yield Tensor, 'pin_memory', lambda tensor, *_: self.pinned.pin(tensor)
        yield Tensor, 'is_pinned', lambda tensor, *_: self.pinned.holds(tensor)
        yield Tensor, 'record_stream', lambda *_: None
        yield torch.cuda, 'CUDAGraph', functools.partial(FakeGraph, self)
        yield torch.cuda, 'graph', capture_into
        yield torch.cuda, 'graph_pool_handle', lambda: (0, 0)
        # Norms and scales of all gradients together, as of real ones.
        foreach = torch.utils._foreach_utils
        yield foreach, '_foreach_supported_types', [*foreach._foreach_supported_types, FakeTensor]
        swap_really = torch.utils.swap_tensors

        def swap(one: Tensor, other: Tensor) -> None:
            """`Module.to` swaps fake parameters for themselves, which torch refuses: others refer to them."""
            if one.device != other.device or one.dtype != other.dtype:
                swap_really(one, other)  # type: ignore[no-untyped-call]

        tensor_really = torch.tensor

        def tensor(data: Any, *args: Any, **kwargs: Any) -> Tensor:
            """Of a list with CUDA tensors in it, whose numbers torch reads one by one."""
            read = tree_map(lambda each: each.tolist() if isinstance(each, FakeTensor) else each, data)
            return tensor_really(read if isinstance(data, (list, tuple)) else data, *args, **kwargs)

        yield torch, 'tensor', tensor
        yield torch.utils, 'swap_tensors', swap
        with contextlib.suppress(ImportError):
            import transformers.utils.import_utils as imports

            yield imports, 'is_fake_tensor', lambda _: False  # it takes another way for fake tensors, as for a trace


def _zeros(tensor: Tensor) -> Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


def _listed(tensor: Tensor) -> Any:
    """`tolist`: one copy to the host, for which it waits."""
    return tensor.cpu().tolist()


def _no_array(tensor: Tensor, *_: Any, **__: Any) -> Any:
    raise TypeError(
        f'numpy at {find_place()}: expected a tensor of the CPU, got one on {tensor.device}; copy it with .cpu()'
    )
