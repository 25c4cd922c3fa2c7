"""Capturing a pass once and replaying it: CUDA graphs, and what stands in for them where there is no GPU.

A captured pass is the list of its kernels with the addresses that they read and write. What the host did meanwhile, and
which tensors its variables named, is no part of it: inputs must be copied to where the kernels read them, and outputs
lie where the next replay writes its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

Pass = Callable[..., Any]
Capture = Callable[[str, Pass, tuple[Tensor, ...]], Pass]
"""Makes of a pass one that runs faster with inputs of the same shapes.

Called with the pass's name, for messages; the pass, which takes the inputs and waits for nothing, and whatever else it
reads lies at the same address in every replay; and inputs, which are read and not kept. Returns what takes inputs of
these shapes and gives the outputs, which the next call overwrites.
"""
WARM_UP_RUNS = 2
"""Before capture: libraries choose their algorithms and take their memory, `torch.compile` compiles."""


def run_directly(name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
    """The pass itself: every kernel is launched by itself."""
    del name, inputs
    return run


class CudaGraphs:
    """Captures passes as CUDA graphs, which share their memory.

    One memory for all is enough: of what a pass leaves behind only its outputs are read later, and they are held.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pools: dict[int, Any] = {}

    def capture(self, name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
        """Capture a pass on the current stream."""
        del name
        static = tuple(each.clone() for each in inputs)
        # Passes of two streams run at the same time, so each stream has a memory of its own.
        current = torch.cuda.current_stream(self._device)
        pool = self._pools.setdefault(current.stream_id, torch.cuda.graph_pool_handle())
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                run(*static)
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of a robot's process may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode='thread_local'):
            outputs = run(*static)
        current.wait_stream(stream)

        def replay(*given: Tensor) -> Any:
            copy_inputs(static, given)
            graph.replay()
            return outputs

        return replay


class RecordedGraphs:
    """Stands in for CUDA graphs on any device: records the operations of a pass and runs them again.

    As a graph does, a replay reads and writes the tensors that the recorded operations did, whatever Python variables
    name by then; so it shows where a pass depends on an address that has changed, on a value that the host computed, or
    on outputs that were overwritten meanwhile.
    """

    def capture(self, name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
        """Record a pass.

        Raises:
            RuntimeError: the pass makes the host wait.
        """
        static = tuple(each.clone() for each in inputs)
        for _ in range(WARM_UP_RUNS):
            run(*static)
        with _Recorder(name) as recorder:
            outputs = run(*static)

        def replay(*given: Tensor) -> Any:
            copy_inputs(static, given)
            recorder.replay()
            return outputs

        return replay


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps every operation with its tensors."""

    def __init__(self, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = name
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError(f'{self._name}: the host waits in {function}, which a captured pass may not')
        result = function(*args, **kwargs)
        self._operations.append((function, args, kwargs, result))
        return result

    def replay(self) -> None:
        """Run the operations again, each into the tensors that it gave."""
        for function, args, kwargs, result in self._operations:
            again = function(*args, **kwargs)
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                # Views and operations in place give the memory that they were given, and nothing has to be copied.
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def copy_inputs(static: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    """Copy inputs to where a captured pass reads them.

    Raises:
        ValueError: they are not those that it was captured with.
    """
    expected = [(tuple(each.shape), each.dtype) for each in static]
    got = [(tuple(each.shape), each.dtype) for each in given]
    if expected != got:
        raise ValueError(f'captured pass: expected inputs {expected}, got {got}')
    for ours, theirs in zip(static, given, strict=True):
        ours.copy_(theirs, non_blocking=True)
