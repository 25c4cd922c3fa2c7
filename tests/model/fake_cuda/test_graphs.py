"""Captured graphs: one launch, fixed shapes, no host waits.

Covers fake_cuda.compiler, fake_cuda.cuda_graph and fake_cuda.inductor_schedule.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instructsam_model.fake_cuda import CUDA, CaptureError, FakeCuda, FakeGraphs
from instructsam_model.fake_cuda.compiler import FakeCompiler


def test_replay_is_one_launch_of_all_kernels() -> None:
    with FakeCuda() as cuda:
        run = FakeGraphs(cuda).capture('double', lambda states: (states + states).relu(), (torch.ones(4, device=CUDA),))
        with cuda.recording() as recording:
            first, second = run(torch.ones(4, device=CUDA)), run(torch.ones(4, device=CUDA))
    assert first is second
    assert recording.kernels == 2 * (1 + 1 + 2)  # ones, the copy to where the graph reads, the graph
    assert recording.launches == 2 * (1 + 1 + 1)


def test_replay_refuses_other_shapes() -> None:
    with FakeCuda() as cuda:
        run = FakeGraphs(cuda).capture('double', lambda states: states + states, (torch.ones(4, device=CUDA),))
        with pytest.raises(
            CaptureError, match=r'graph double at test_graphs\.py:\d+: captured for float32 \[4\].*got float32 \[5\]'
        ):
            run(torch.ones(5, device=CUDA))


def test_capture_refuses_host_waits_with_their_place() -> None:
    with FakeCuda() as cuda, pytest.raises(CaptureError, match=r'item at test_graphs\.py:\d+: the host waits'):
        FakeGraphs(cuda).capture('sum', lambda states: states.sum().item(), (torch.ones(4, device=CUDA),))


def test_memory_of_a_graph_stays_reserved() -> None:
    mebibyte = 2**18
    with FakeCuda() as cuda:
        states = torch.empty(mebibyte, device=CUDA)
        run = FakeGraphs(cuda).capture('sum', lambda states: (states * 2).sum(), (states,))
        assert cuda.memory.total == 2 * 2**20 + 2**20 + 4  # states and their static copy; the pool
        run(states)
        assert cuda.memory.total == 3 * 2**20 + 4


class Layer(nn.Module):
    """Writes to a cache, normalizes, projects twice."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, states: Tensor, cache: Tensor, slots: Tensor) -> Tensor:
        cache.index_copy_(0, slots, states)
        return states + self.down(F.gelu(self.up(F.layer_norm(states, (64,))))) * cache.sum(0)


def test_inductor_fuses_everything_but_matrix_products() -> None:
    with FakeCuda() as cuda, torch.inference_mode():
        compiler = FakeCompiler(cuda)
        layers = [compiler(Layer().to(CUDA, torch.bfloat16)) for _ in range(3)]
        states, slots = torch.zeros(8, 64, device=CUDA, dtype=torch.bfloat16), torch.arange(8, device=CUDA)
        cache = torch.zeros(128, 64, device=CUDA, dtype=torch.bfloat16)
        with cuda.recording() as recording:
            for layer in layers:
                states = layer(states, cache, slots)
    compiled = compiler.compiled(recording)
    assert sum('addmm' in op.name for op in recording.ops) == sum('addmm' in op.name for op in compiled.ops) == 6
    assert compiled.flops == recording.flops
    assert compiled.kernels < recording.kernels
    assert compiled.bytes < recording.bytes
