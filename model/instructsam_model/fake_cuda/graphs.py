"""CUDA graphs without CUDA: what is captured is recorded once, and replayed into the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from instructsam_model.fake_cuda.place import find_place
from instructsam_model.fake_cuda.recorder import CaptureError, FakeCuda
from instructsam_model.fake_cuda.recording import Recording

Function = Callable[..., Any]


@dataclass(frozen=True)
class CapturedGraph:
    """A function, and what it launched.

    Attributes:
        name: as given.
        where: the line of code that asked for it.
        function: as given.
        inputs: the static tensors that every call copies its inputs to.
        outputs: the static tensors that a replay writes, as the function gave them.
        recording: what is launched by a replay.
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
        captured: all graphs, in their order.
    """

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.captured: list[CapturedGraph] = []

    def capture(self, name: str, function: Function, inputs: tuple[Tensor, ...]) -> Function:
        """Run a function on static copies of its inputs, and return what replays it.

        Args:
            name: of the graph in the recording, and in errors.
            function: takes the tensors of `inputs`; may write to others, such as a cache, that stay where they are.
            inputs: examples; every replay must have the same shapes and types.

        Returns:
            What takes inputs and gives the static outputs: the next replay writes to them again.

        Raises:
            CaptureError: the function lets the host wait for the device.
        """
        with self._cuda.recording():  # what capturing costs is no part of an answer
            static = tuple(torch.empty_like(each).copy_(each) for each in inputs)
            with self._cuda.graph(name) as recording:
                outputs = function(*static)
        graph = CapturedGraph(name, find_place(), function, static, outputs, recording)
        self.captured.append(graph)
        return lambda *given: self._replay(graph, given)

    def _replay(self, graph: CapturedGraph, given: tuple[Tensor, ...]) -> Any:
        """Copy inputs to where the graph reads them, and launch it.

        Raises:
            CaptureError: they are not like those it was captured with.
        """
        found, expected = ([_describe(each) for each in tensors] for tensors in (given, graph.inputs))
        if found != expected:
            raise CaptureError(
                f'graph {graph.name} at {find_place()}: captured for {", ".join(expected)}; got {", ".join(found)}'
            )
        for static, each in zip(graph.inputs, given, strict=True):
            if each is not static:
                static.copy_(each)
        self._cuda.replay(graph.name, graph.recording)
        for output in tree_flatten(graph.outputs)[0]:
            if isinstance(output, Tensor):
                self._cuda.values.forget(output)
        return graph.outputs


def _describe(tensor: Tensor) -> str:
    return f'{str(tensor.dtype).removeprefix("torch.")} {list(tensor.shape)} on {tensor.device}'
