"""Capturing a forward pass once and replaying it as a CUDA graph.

A captured pass is a list of kernels with the addresses that they read and write. A replay runs no Python code: inputs
must be copied to the captured addresses, and the next replay overwrites the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Pass = Callable[..., Any]
Capture = Callable[[str, Pass, tuple[Tensor, ...]], Pass]
"""Called with the name of a pass (for messages), the pass, and example inputs (not kept); returns a faster pass.

The pass must not wait for the device, and every other tensor that it reads must keep its address. The returned pass
takes inputs of the same shapes and returns outputs that its next call overwrites.
"""
WARM_UP_RUNS = 2
"""Runs before the capture, in which libraries choose algorithms and allocate, and `torch.compile` compiles."""


def run_directly(name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
    """Return the pass itself: nothing is captured, every kernel is launched one by one."""
    del name, inputs
    return run


class CudaGraphs:
    """Captures passes as CUDA graphs that share one memory pool per stream.

    Sharing is safe because only the outputs of a pass are read after it, and references to them are kept.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pools: dict[int, Any] = {}

    def capture(self, name: str, run: Pass, inputs: tuple[Tensor, ...]) -> Pass:
        """Capture a pass on the current stream."""
        del name
        static = tuple(each.clone() for each in inputs)  # the addresses that the kernels will read
        # Passes on different streams may run at the same time, so each stream has its own memory pool.
        current = torch.cuda.current_stream(self._device)
        pool = self._pools.setdefault(current.stream_id, torch.cuda.graph_pool_handle())
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                run(*static)
        current.wait_stream(stream)
        # The warm-up runs on another stream must be done before the capture starts.
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the GPU during the capture.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode='thread_local'):
            outputs = run(*static)
        current.wait_stream(stream)

        def replay(*given: Tensor) -> Any:
            copy_inputs(static, given)
            graph.replay()
            return outputs

        return replay


def copy_inputs(static: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> None:
    """Copy inputs to the addresses that a captured pass reads.

    Raises:
        ValueError: their shapes or dtypes differ from those of the capture.
    """
    expected = [(tuple(each.shape), each.dtype) for each in static]
    got = [(tuple(each.shape), each.dtype) for each in given]
    if expected != got:
        raise ValueError(f'captured pass: expected inputs {expected}, got {got}')
    for ours, theirs in zip(static, given, strict=True):
        ours.copy_(theirs, non_blocking=True)
