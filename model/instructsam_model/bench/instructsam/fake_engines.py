"""Engines of InstructSAM that run on fake CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from instructsam_model.fake_cuda import FakeCuda, FakeGraphs
from instructsam_model.fake_cuda.compiler import FakeCompiler
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.static import StaticEngine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.runtime.compilation import run_eagerly
from instructsam_model.runtime.graphs import run_directly


class FakeEngines:
    """Makes engines that run on fake CUDA, as `choose_engine` makes them for a GPU.

    Args:
        cuda: the fake GPU.
        name: of the engine, see `choose_engine`.

    Attributes:
        compiler: of the engines.
        graphs: captured graphs of the engines.
    """

    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self.compiler = FakeCompiler(cuda)
        self.graphs = FakeGraphs(cuda)
        self._is_compiled = name != 'eager'

    def make(self, network: InstructSAM) -> Engine:
        """Make the engine of a network."""
        # The same class as on a GPU; only capture and compilation are replaced.
        if not self._is_compiled:
            return StaticEngine(network, capture=run_directly, compile_=run_eagerly)
        return StaticEngine(network, capture=self.graphs.capture, compile_=self.compiler)


def plausible_values(tensor: Tensor) -> Tensor:
    """Return values for a tensor without contents when the host reads it: 0 for integers, 1 for all others."""
    is_integer = not tensor.dtype.is_floating_point and tensor.dtype != torch.bool
    return torch.full(tensor.shape, 0 if is_integer else 1, dtype=tensor.dtype)
