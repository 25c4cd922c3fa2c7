"""A run of one process without Accelerate, for measuring and testing single steps of training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instructsam_training.engine.distributed import make_optimizer
from instructsam_training.engine.step import Run
from instructsam_training.families.family import StageTask

STEPS = 1_000_000
"""Length of the learning-rate schedule; it does not affect a measurement."""


class SingleProcess:
    """The part of Accelerate's interface that a step uses.

    Attributes:
        device: of the process.
    """

    num_processes = 1
    process_index = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def no_sync(self, model: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing, because one process never synchronizes gradients."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip_grad_norm_(self, parameters: Iterable[nn.Parameter], norm: float) -> Tensor:
        """Clip the norm of the gradients; returns the norm before."""
        return nn.utils.clip_grad_norm_(parameters, norm)


class Autocast(nn.Module):
    """A network with a bfloat16 forward pass, as Accelerate wraps it."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network = network
        self._device = device

    def forward(self, *inputs: object) -> object:
        """Run the network under autocast."""
        with torch.autocast(self._device.type, torch.bfloat16):
            return self.network(*inputs)


def start_single_process(task: StageTask, device: torch.device, *, bfloat16: bool, seed: int = 0) -> Run:
    """Return a run in this process, which writes no files.

    Args:
        task: whose steps are taken, after `choose_trainable`.
        device: of its network.
        bfloat16: run the forward pass in bfloat16.
        seed: of dropout and sampled points.
    """
    optimizer = make_optimizer(task, device)
    return Run(
        accelerator=cast(Accelerator, SingleProcess(device)),
        seed=seed,
        stage=task.stage,
        task=task,
        folder=Path(),
        steps=STEPS,
        model=Autocast(task.network, device) if bfloat16 else task.network,
        optimizer=optimizer,
        rates=tuple(group['lr'] for group in optimizer.param_groups),
    )
