"""A run of one process without Accelerate, to take steps as training does where nothing is to be spread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instructsam_model.instructsam.network import InstructSAM
from instructsam_training.config.options import StageConfig
from instructsam_training.engine.distributed import make_optimizer
from instructsam_training.engine.step import Run

STEPS = 1_000_000
"""Of the schedule of learning rates, whose course is of no account."""


class SingleProcess:
    """What a step asks of Accelerate.

    Attributes:
        device: of the process.
    """

    num_processes = 1
    process_index = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def no_sync(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """A context in which gradients are not shared: they never are."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """The backward pass."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip_grad_norm_(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Scale gradients down whose norm is larger."""
        nn.utils.clip_grad_norm_(parameters, norm)


class Autocast(nn.Module):
    """A network whose forward pass is in bfloat16, as Accelerate wraps it."""

    def __init__(self, network: InstructSAM) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: object) -> object:
        """The network's."""
        with torch.autocast(self.network.device.type, torch.bfloat16):
            return self.network(*inputs)


def start_single_process(network: InstructSAM, stage: StageConfig, *, bfloat16: bool, seed: int = 0) -> Run:
    """A run of this process, which writes nothing.

    Args:
        network: on its device, with what learns chosen already.
        stage: of which steps are taken.
        bfloat16: compute the forward pass in it.
        seed: of dropout and sampled points.
    """
    optimizer = make_optimizer(network, stage, network.device)
    return Run(
        accelerator=cast(Accelerator, SingleProcess(network.device)),
        seed=seed,
        stage=stage,
        folder=Path(),
        steps=STEPS,
        model=Autocast(network) if bfloat16 else network,
        optimizer=optimizer,
        rates=tuple(group['lr'] for group in optimizer.param_groups),
        num_queries=network.config.num_queries,
    )
