"""One optimizer step: its micro-batches, and what their losses were.

The host waits for the device once a micro-batch, for the costs of matching, and once a step, for the losses.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instructsam_training.config.options import StageConfig
from instructsam_training.data.batch import Batch
from instructsam_training.engine.signals import PreemptionHandler
from instructsam_training.losses.losses import TERMS, compute_losses, count_terms, total_loss


@dataclass
class Run:
    """One stage while it runs.

    Attributes:
        accelerator: of the whole run.
        seed: of the whole run.
        stage: its settings.
        folder: of everything that it writes.
        steps: how many it has.
        model: the network as Accelerate wrapped it.
        optimizer: likewise.
        rates: the highest learning rate of each of the optimizer's groups.
        num_queries: K.
        done: steps done.
        rounded: frozen parameters by name as they were before they were rounded, in the process that writes them.
        ema: averaged parameters by name; empty where none are asked for.
        stop: raised when the run shall end early.
    """

    accelerator: Accelerator
    seed: int
    stage: StageConfig
    folder: Path
    steps: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rates: tuple[float, ...]
    num_queries: int
    done: int = 0
    rounded: dict[str, Tensor] = field(default_factory=dict)
    ema: dict[str, Tensor] = field(default_factory=dict)
    stop: PreemptionHandler = field(default_factory=PreemptionHandler)


def take_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, float], bool]:
    """One optimizer step: its losses over all processes, and whether one of them was asked to stop."""
    accelerator, options, step = run.accelerator, run.stage.losses, run.done + 1
    factor = schedule(step, run.steps, run.stage.warmup)
    for group, rate in zip(run.optimizer.param_groups, run.rates, strict=True):
        group['lr'] = rate * factor
    micro_batches = [batch.for_objective(run.stage.objective) for batch in micro_batches]
    counts, stopping = count_step(run, micro_batches)

    run.optimizer.zero_grad(set_to_none=True)
    values = []
    for number, batch in enumerate(micro_batches):
        # Dropout and sampled points depend on the micro-batch, not on the process that happens to have it.
        torch.manual_seed(hash((run.seed, step, number * accelerator.num_processes + accelerator.process_index)))
        last = number == len(micro_batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(run.model):
            values.append(backward(run, batch.to(accelerator.device), counts))
    if run.stage.clip:
        accelerator.clip_grad_norm_(run.model.parameters(), run.stage.clip)
    run.optimizer.step()
    run.done = step
    update_average(run)
    sums = read_losses(run, micro_batches, torch.stack(values))
    means = [total / max(counts[name], 1) for name, total in zip(TERMS, sums, strict=True)]
    loss = sum(getattr(options, name) * mean for name, mean in zip(TERMS, means, strict=True))
    return {'step': step, 'loss': loss, **dict(zip(TERMS, means, strict=True)), 'rate': run.rates[0] * factor}, stopping


def count_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, int], bool]:
    """What the losses of a step are divided by, over all processes, and whether one of them was asked to stop."""
    counted = torch.zeros(len(TERMS) + 1, dtype=torch.float64)
    for batch in micro_batches:
        if batch.counts:
            counts = count_terms(
                len(batch.answers), batch.targets, run.num_queries, run.stage.losses, batch.query_owner
            )
            counted[:-1] += torch.tensor([counts[name] for name in TERMS])
    counted[-1] = run.stop.raised
    *totals, stopping = sum_over_processes(run.accelerator, counted)
    return {name: int(total) for name, total in zip(TERMS, totals, strict=True)}, stopping > 0


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    """The sums of a vector over all processes; waits for the device only where there are several."""
    if accelerator.num_processes == 1:
        return values.tolist()
    summed: Tensor = accelerator.reduce(values.to(accelerator.device), 'sum')
    return summed.tolist()


def backward(run: Run, batch: Batch, counts: dict[str, int]) -> Tensor:
    """Forward and backward of one micro-batch; the sums of its terms and its loss, on the device.

    Raises:
        FloatingPointError: the network has diverged so far that no slot can be matched.
    """
    try:
        terms = compute_losses(
            run.model(batch.inputs), batch.answers, batch.targets, run.stage.losses, query_owner=batch.query_owner
        )
    except FloatingPointError as error:
        raise FloatingPointError(f'{", ".join(batch.sources)}: {error}') from error
    loss = total_loss(terms, counts, run.stage.losses) * batch.counts
    # Processes average their gradients, and the terms are divided by the counts of all of them already.
    run.accelerator.backward(loss * run.accelerator.num_processes)
    return torch.stack([*(terms.sums[name].detach() * batch.counts for name in TERMS), loss.detach()])


def read_losses(run: Run, micro_batches: Sequence[Batch], values: Tensor) -> list[float]:
    """The sums of the terms over a step of all processes; the host waits for the device here, once a step.

    Args:
        run: that has taken the step.
        micro_batches: of this process.
        values: for each of them what `backward` returned.

    Raises:
        FloatingPointError: the loss of one of them is not finite.
    """
    rows = values.tolist()
    for batch, (*sums, loss) in zip(micro_batches, rows, strict=True):
        if not math.isfinite(loss):
            named = dict(zip(TERMS, sums, strict=True))
            raise FloatingPointError(
                f'{", ".join(batch.sources)}: the loss is not finite: {named}; the last checkpoint is from before'
            )
    totals = [sum(column) for column in zip(*rows, strict=True)][:-1]
    return sum_over_processes(run.accelerator, torch.tensor(totals, dtype=torch.float64))


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rates in step 1 to `steps`: a linear rise, then a cosine to 0."""
    rising = max(math.ceil(warmup * steps), 1)
    if step <= rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def update_average(run: Run) -> None:
    """Let the averaged weights follow the trained ones."""
    decay = run.stage.ema
    if not decay:
        return
    for name, parameter in run.model.named_parameters():
        if parameter.requires_grad:
            key, value = name.removeprefix('module.'), parameter.detach()
            run.ema[key] = run.ema[key].to(value.device).lerp_(value, 1 - decay) if key in run.ema else value.clone()
