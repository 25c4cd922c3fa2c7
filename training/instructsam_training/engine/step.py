"""One optimizer step: gradients of its micro-batches, update of the weights, and losses.

The host waits for the device once per micro-batch, for the costs of matching, and once per step, for the losses.
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
    """State of a stage in progress.

    Attributes:
        accelerator: of the whole run.
        seed: of the whole run.
        stage: its configuration.
        folder: of all files that it writes.
        steps: number of its steps.
        model: the network, wrapped by Accelerate.
        optimizer: wrapped by Accelerate.
        rates: peak learning rate of each group of the optimizer.
        num_queries: K.
        done: number of steps done.
        rounded: exact values of frozen parameters that were rounded, by name, in the process that writes checkpoints.
        ema: averaged parameters by name; empty without `ema`.
        preemption: records SIGTERM.
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
    preemption: PreemptionHandler = field(default_factory=PreemptionHandler)


def take_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, float], bool]:
    """Take one optimizer step.

    Returns:
        Metrics of the step over all processes, and whether one of the processes received SIGTERM.
    """
    accelerator, step = run.accelerator, run.done + 1
    # 1. Learning rates of this step.
    factor = schedule(step, run.steps, run.stage.warmup)
    for group, rate in zip(run.optimizer.param_groups, run.rates, strict=True):
        group['lr'] = rate * factor
    # 2. Divisors of the losses, over all micro-batches and processes, before any of them is run.
    micro_batches = [batch.for_objective(run.stage.objective) for batch in micro_batches]
    counts, stopping = count_step(run, micro_batches)
    # 3. Gradients; they are exchanged between processes only in the last micro-batch.
    run.optimizer.zero_grad(set_to_none=True)
    values: list[Tensor] = []
    for number, batch in enumerate(micro_batches):
        # Dropout and sampled points depend on the micro-batch, not on the process that happens to have it.
        torch.manual_seed(hash((run.seed, step, number * accelerator.num_processes + accelerator.process_index)))
        last = number == len(micro_batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(run.model):
            values.append(backward(run, batch.to(accelerator.device), counts))
    # 4. Update of the weights.
    if run.stage.clip:
        accelerator.clip_grad_norm_(run.model.parameters(), run.stage.clip)
    run.optimizer.step()
    run.done = step
    update_average(run)
    # 5. Losses; the host waits for the device here.
    sums = read_losses(run, micro_batches, torch.stack(values))
    return {'step': step, **report_losses(run, sums, counts), 'rate': run.rates[0] * factor}, stopping


def report_losses(run: Run, sums: Sequence[float], counts: dict[str, int]) -> dict[str, float]:
    """Return the mean of each term in a step, and their weighted sum `loss`, from sums and counts of all processes."""
    means = {name: total / max(counts[name], 1) for name, total in zip(TERMS, sums, strict=True)}
    return {'loss': sum(getattr(run.stage.losses, name) * mean for name, mean in means.items()), **means}


def count_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, int], bool]:
    """Sum the divisors of the losses over all processes; also return whether one of them received SIGTERM."""
    # The counts and the flag in one vector, so that the processes communicate once.
    counted = torch.zeros(len(TERMS) + 1, dtype=torch.float64)
    for batch in micro_batches:
        if batch.counts:
            counts = count_terms(
                len(batch.answers), batch.targets, run.num_queries, run.stage.losses, batch.query_owner
            )
            counted[:-1] += torch.tensor([counts[name] for name in TERMS])
    counted[-1] = run.preemption.triggered
    *totals, stopping = sum_over_processes(run.accelerator, counted)
    return {name: int(total) for name, total in zip(TERMS, totals, strict=True)}, stopping > 0


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    """Sum a vector over all processes; waits for the device only if there are several processes."""
    if accelerator.num_processes == 1:
        return values.tolist()
    summed: Tensor = accelerator.reduce(values.to(accelerator.device), 'sum')
    return summed.tolist()


def backward(run: Run, batch: Batch, counts: dict[str, int]) -> Tensor:
    """Run both passes of one micro-batch; returns the sums of its terms and its loss, on the device.

    Raises:
        FloatingPointError: the network has diverged, so that its queries cannot be matched.
    """
    try:
        terms = compute_losses(
            run.model(batch.inputs), batch.answers, batch.targets, run.stage.losses, query_owner=batch.query_owner
        )
    except FloatingPointError as error:
        raise FloatingPointError(f'{", ".join(batch.sources)}: {error}') from error
    loss = total_loss(terms, counts, run.stage.losses) * batch.counts
    # DDP averages gradients over the processes, but the terms are divided by the counts of all processes already.
    run.accelerator.backward(loss * run.accelerator.num_processes)
    return torch.stack([*(terms.sums[name].detach() * batch.counts for name in TERMS), loss.detach()])


def read_losses(run: Run, micro_batches: Sequence[Batch], values: Tensor) -> list[float]:
    """Sum the terms of a step over all processes; the host waits for the device here, once per step.

    Args:
        run: the run.
        micro_batches: of this process.
        values: results of `backward` for the micro-batches, stacked.

    Raises:
        FloatingPointError: the loss of one of them is not finite.
    """
    rows = values.tolist()  # one row per micro-batch: the sums of its terms, then its loss
    for batch, (*sums, loss) in zip(micro_batches, rows, strict=True):
        if not math.isfinite(loss):
            named = dict(zip(TERMS, sums, strict=True))
            raise FloatingPointError(
                f'{", ".join(batch.sources)}: the loss is not finite: {named}; '
                'the last checkpoint was written before this step'
            )
    totals = [sum(column) for column in zip(*rows, strict=True)][:-1]
    return sum_over_processes(run.accelerator, torch.tensor(totals, dtype=torch.float64))


def schedule(step: int, steps: int, warmup: float) -> float:
    """Return the multiplier of the learning rates in a step from 1 to `steps`: a linear warm-up, then a cosine to 0."""
    rising = max(math.ceil(warmup * steps), 1)
    if step <= rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def update_average(run: Run) -> None:
    """Update the exponential moving average of the trained weights."""
    decay = run.stage.ema
    if not decay:
        return
    for name, parameter in run.model.named_parameters():
        if parameter.requires_grad:
            # DDP adds a prefix to the names. The average starts at the weights after the first step.
            key, value = name.removeprefix('module.'), parameter.detach()
            run.ema[key] = run.ema[key].to(value.device).lerp_(value, 1 - decay) if key in run.ema else value.clone()
