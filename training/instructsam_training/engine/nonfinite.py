"""Steps whose loss or gradient is not finite: they are skipped, and a few in a row stop the run.

One such gradient would make every weight NaN. All processes decide alike, from the norm of the gradient over all of
them, which the host reads together with the losses before the weights are updated.

After a skipped step it is checked who is to blame. If a batch that was good before the last update is not any more, it
is that update: the run stops, and checkpoints with these weights are set aside. Otherwise it is the samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from instructsam_training.data.micro_batch import MicroBatch

NAMED = 8
"""Samples and parameters that a message names."""


@dataclass
class SkippedSteps:
    """Steps of a stage that were skipped.

    Attributes:
        total: of the stage.
        in_a_row: up to now.
        good_batch: a micro-batch of the last good step since the run was started; None before it.
    """

    total: int = 0
    in_a_row: int = 0
    good_batch: MicroBatch | None = None


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the norm of the gradients so far, on their device; not finite if one of them is not."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return whole(nn.utils.get_total_norm(gradients))


def whole(norm: Tensor) -> Tensor:
    """Return a norm over all processes; that of sharded gradients is a sharded tensor."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def is_good(losses: Sequence[float], norm: float) -> bool:
    """Return whether the losses of the micro-batches and the norm of their gradient are finite."""
    return all(map(math.isfinite, (*losses, norm)))


def suspects(
    accelerator: Accelerator, batches: Sequence[MicroBatch], losses: Sequence[float], norms: Sequence[float]
) -> list[str]:
    """Return the names of the samples, of all processes, that a step was skipped for.

    They are those whose own loss is not finite. If there are none, they are those with whose micro-batch the gradient
    ceased to be finite.

    Args:
        accelerator: of the run; every process calls this.
        batches: micro-batches of this process.
        losses: of each.
        norms: of the gradient after each.
    """
    by_loss = [
        name for batch, loss in zip(batches, losses, strict=True) if not math.isfinite(loss) for name in batch.sources
    ]
    first = next((index for index, norm in enumerate(norms) if not math.isfinite(norm)), None)
    by_gradient = [] if first is None else [(first, name) for name in batches[first].sources]
    if accelerator.num_processes > 1:
        by_loss, by_gradient = gather_object(by_loss), gather_object(by_gradient)
    # The gradient of the last micro-batch is that of all processes, so an earlier one says more.
    earliest = min((index for index, _ in by_gradient), default=None)
    return by_loss or [name for index, name in by_gradient if index == earliest]


def nonfinite_parameters(model: nn.Module) -> list[str]:
    """Return the names of the trained parameters, or of the parts in this process, that are not finite."""
    names = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            values = parameter.detach()
            values = values.to_local() if isinstance(values, DTensor) else values
            if not torch.isfinite(values).all():
                names.append(name.removeprefix('module.'))
    return names


@torch.no_grad()
def is_still_good(
    model: nn.Module,
    batch: MicroBatch | None,
    device: torch.device,
    outputs: Callable[[Any], Iterable[Tensor]],
) -> bool:
    """Return whether the network computes finite outputs for a batch, which was good before; True for None.

    Args:
        model: the network.
        batch: of an earlier step.
        device: of the network.
        outputs: yields the tensors of a prediction.
    """
    if batch is None:
        return True
    tensors = outputs(model(batch.to(device).inputs))
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())


def check_progress(stage: str, steps: int, skipped: SkippedSteps) -> None:
    """Check that a stage which took all its steps has learned something, and that its weights work.

    Raises:
        FloatingPointError: all steps were skipped, or all since the run was resumed.
    """
    if steps and skipped.total == steps:
        raise FloatingPointError(
            f'{stage}: the loss or its gradient is not finite in any of the {steps} steps, so nothing was learned and '
            'nothing is written; metrics.jsonl names the samples'
        )
    if skipped.in_a_row and skipped.good_batch is None:
        raise FloatingPointError(
            f'{stage}: the loss or its gradient is not finite in any step since the run was resumed, so it is not '
            'known whether the weights work, and nothing is written; remove the last folder of states to resume from '
            'the one before'
        )


def explain_stop(step: int, names: Sequence[str], skipped: SkippedSteps, damage: Sequence[str]) -> str:
    """Say why a run stops, and what to do.

    Args:
        step: the last one.
        names: of the samples that it was skipped for.
        skipped: steps of the stage.
        damage: what the last update did, if it is to blame.
    """
    again = 'run the same command again to resume from the last good checkpoint'
    if damage:
        return (
            f'step {step}: the last update, of step {step - skipped.in_a_row}, has ruined the weights: '
            f'{listed(damage)}; samples of this step: {listed(names)}; {again}; if it happens again, lower the '
            'learning rates (rates)'
        )
    return (
        f'step {step}: the loss or its gradient is not finite (NaN or infinity) in {skipped.in_a_row} steps in a row, '
        f'all of which were skipped; samples of the last one: {listed(names)}; look at their images and masks, lower '
        f'the learning rates (rates), or raise max_skipped_steps; {again}'
    )


def listed(names: Sequence[str]) -> str:
    """Return the first names."""
    return ', '.join(names[:NAMED]) + (f' and {len(names) - NAMED} more' if len(names) > NAMED else '')
