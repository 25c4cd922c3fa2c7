"""`RecordedGraphs` follows the rules of CUDA graphs, so tests on a CPU show passes that break them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from instructsam_model.runtime.graphs import run_directly
from tests.support.recorded_graphs import RecordedGraphs


def test_replay_computes_from_new_inputs() -> None:
    state = torch.zeros(3)

    def run(inputs: Tensor) -> Tensor:
        doubled = inputs * 2
        state.add_(doubled)  # in place
        return doubled[1:] + state[:2]  # of views

    replay = RecordedGraphs().capture('pass', run, (torch.ones(3),))
    state.zero_()
    assert replay(torch.tensor([1.0, 2.0, 3.0])).tolist() == [6, 10]
    assert replay(torch.tensor([1.0, 2.0, 3.0])).tolist() == [8, 14]
    assert state.tolist() == [4, 8, 12]


def test_replay_overwrites_the_outputs_of_the_last_one() -> None:
    replay = RecordedGraphs().capture('pass', lambda inputs: inputs + 1, (torch.zeros(1),))
    first = replay(torch.zeros(1))
    replay(torch.ones(1))
    assert first == 2
    directly = run_directly('pass', lambda inputs: inputs + 1, (torch.zeros(1),))
    first = directly(torch.zeros(1))
    directly(torch.ones(1))
    assert first == 1


def test_replay_reads_captured_addresses_not_variables() -> None:
    weight = torch.tensor([2.0])

    def run(inputs: Tensor) -> Tensor:
        return inputs * weight

    replay = RecordedGraphs().capture('pass', run, (torch.ones(1),))
    weight = torch.tensor([3.0])
    assert replay(torch.ones(1)) == 2  # as a captured graph would, and the pass itself would not
    assert run(torch.ones(1)) == 3


def test_capture_refuses_a_pass_that_makes_the_host_wait() -> None:
    with pytest.raises(RuntimeError, match=r'pass: .* makes the host wait'):
        RecordedGraphs().capture('pass', lambda inputs: inputs * inputs.sum().item(), (torch.ones(1),))


def test_replay_refuses_inputs_of_another_shape() -> None:
    replay = RecordedGraphs().capture('pass', lambda inputs: inputs + 1, (torch.zeros(2),))
    with pytest.raises(ValueError, match=r'expected inputs \[\(\(2,\), torch.float32\)\], got \[\(\(3,\),'):
        replay(torch.zeros(3))
