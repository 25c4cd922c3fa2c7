"""CUDA graphs without CUDA: a capture records operations once, a replay launches them on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from instructsam_model.fake_cuda.call_site import find_call_site
from instructsam_model.fake_cuda.recorder import CaptureError, FakeCuda
from instructsam_model.fake_cuda.recording import Recording

Function = Callable[..., Any]


@dataclass(frozen=True)
class CapturedGraph:
    """A captured function.

    Attributes:
        name: of the graph.
        where: the line of code that captured it.
        function: the captured function.
        inputs: static tensors to which a replay copies its inputs.
        outputs: static tensors that a replay overwrites.
        recording: the operations that a replay launches.
    """

    name: str
    where: str
    function: Function
    inputs: tuple[Tensor, ...]
    outputs: Any
    recording: Recording

    def __str__(self) -> str:
        return f'graph {self.name} of {", ".join(map(_describe, self.inputs))}, captured at {self.where}'


class FakeGraphs:
    """Captures functions for `FakeCuda` as an engine captures them on a GPU.

    Attributes:
        captured: all graphs in the order of their capture.
    """

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.captured: list[CapturedGraph] = []

    def capture(self, name: str, function: Function, inputs: tuple[Tensor, ...]) -> Function:
        """Capture a function on static copies of its inputs.

        Args:
            name: of the graph, for recordings and errors.
            function: takes the tensors of `inputs`; may write to other tensors with constant addresses (caches).
            inputs: examples; the inputs of every replay must have the same shapes and dtypes.

        Returns:
            A function that replays the graph and returns its static outputs, which the next replay overwrites.

        Raises:
            CaptureError: the function makes the host wait for the device.
        """
        with self._cuda.recording():  # the operations of the capture itself are not part of the caller's recording
            static = tuple(torch.empty_like(each).copy_(each) for each in inputs)
            with self._cuda.graph(name) as recording:
                outputs = function(*static)
        graph = CapturedGraph(name, find_call_site(), function, static, outputs, recording)
        self.captured.append(graph)
        return lambda *given: self._replay(graph, given)

    def _replay(self, graph: CapturedGraph, given: tuple[Tensor, ...]) -> Any:
        """Copy inputs to the static tensors and launch the graph.

        Raises:
            CaptureError: their shapes, dtypes or devices differ from those of the capture.
        """
        found, expected = ([_describe(each) for each in tensors] for tensors in (given, graph.inputs))
        if found != expected:
            raise CaptureError(
                f'graph {graph.name} at {find_call_site()}: captured for {", ".join(expected)}; got {", ".join(found)}'
            )
        for static, each in zip(graph.inputs, given, strict=True):
            if each is not static:
                static.copy_(each)
        self._cuda.replay(graph.name, graph.recording)
        # The outputs depend on the inputs of this replay, so their values are unknown now.
        for output in tree_flatten(graph.outputs)[0]:
            if isinstance(output, Tensor):
                self._cuda.values.forget(output)
        return graph.outputs


def _describe(tensor: Tensor) -> str:
    return f'{str(tensor.dtype).removeprefix("torch.")} {list(tensor.shape)} on {tensor.device}'
