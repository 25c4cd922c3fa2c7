"""One optimizer step: gradients of its micro-batches, losses, and update of the weights.

The host waits for the device once per micro-batch, for the costs of matching, and once per step, for the losses and the
norm of the gradient. It reads them before the update, which is skipped if they are not finite; the device updates the
weights while the host prepares the next step.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instructsam_training.config.options import StageConfig
from instructsam_training.data.micro_batch import MicroBatch
from instructsam_training.engine.data_health import DataHealth, count_reading, known_norm
from instructsam_training.engine.nonfinite import (
    SkippedSteps,
    explain_stop,
    gradient_norm,
    is_good,
    is_still_good,
    nonfinite_parameters,
    suspects,
    whole,
)
from instructsam_training.engine.signals import PreemptionHandler
from instructsam_training.engine.state import STATES, set_aside
from instructsam_training.families.family import StageTask


@dataclass
class Run:
    """State of a stage in progress.

    Attributes:
        accelerator: of the whole run.
        seed: of the whole run.
        stage: its configuration.
        task: its losses and parameters, for the family of the network.
        folder: of all files that it writes.
        steps: number of its steps.
        model: the network, wrapped by Accelerate.
        optimizer: wrapped by Accelerate.
        rates: peak learning rate of each group of the optimizer.
        done: number of steps done.
        rounded: exact values of frozen parameters that were rounded, by name, in the process that writes checkpoints.
        ema: averaged parameters by name; empty without `ema`.
        preemption: records SIGTERM.
        skipped: steps that were skipped, because their gradient was not finite.
        health: samples that could not be read, and whether anything is learned.
    """

    accelerator: Accelerator
    seed: int
    stage: StageConfig
    task: StageTask
    folder: Path
    steps: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rates: tuple[float, ...]
    done: int = 0
    rounded: dict[str, Tensor] = field(default_factory=dict)
    ema: dict[str, Tensor] = field(default_factory=dict)
    preemption: PreemptionHandler = field(default_factory=PreemptionHandler)
    skipped: SkippedSteps = field(default_factory=SkippedSteps)
    health: DataHealth = field(default_factory=DataHealth)


@dataclass(frozen=True)
class StepResults:
    """What the host reads in a step, before the weights are updated.

    Attributes:
        losses: of each micro-batch of this process.
        norms: of the gradient after each of them; the last is that over all processes.
        sums: of each loss term over all processes.
        is_good: losses and gradient are finite in all processes.
    """

    losses: Sequence[float]
    norms: Sequence[float]
    sums: Sequence[float]
    is_good: bool


def take_step(run: Run, micro_batches: Sequence[MicroBatch]) -> tuple[dict[str, Any], bool]:
    """Take one optimizer step; it updates nothing if the loss or the gradient is not finite.

    Returns:
        Metrics of the step over all processes, and whether one of the processes received SIGTERM.

    Raises:
        FloatingPointError: more than `max_skipped_steps` in a row are not finite, or the weights are not; in all
            processes.
    """
    accelerator, step = run.accelerator, run.done + 1
    # 1. Learning rates of this step.
    factor = run.task.rate_factor(step, run.steps)
    for group, rate in zip(run.optimizer.param_groups, run.rates, strict=True):
        group['lr'] = rate * factor
    # 2. Divisors of the losses, over all micro-batches and processes, before any of them is run.
    micro_batches = [run.task.select(batch) for batch in micro_batches]
    counts, reading, stopping = count_step(run, micro_batches)
    # 3. Gradients; they are exchanged between processes only in the last micro-batch.
    run.optimizer.zero_grad(set_to_none=True)
    parameters = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    values: list[Tensor] = []
    for number, batch in enumerate(micro_batches):
        # Dropout and sampled points depend on the micro-batch, not on the process that happens to have it.
        torch.manual_seed(hash((run.seed, step, number * accelerator.num_processes + accelerator.process_index)))
        last = number == len(micro_batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(run.model):
            values.append(backward(run, batch.to(accelerator.device), counts))
        norm = clip_gradient(run) if last else gradient_norm(parameters)
        values[-1] = torch.cat([values[-1], norm.to(values[-1]).reshape(1)])
    # 4. Losses and norm; the host waits for the device here.
    results = read_results(run, torch.stack(values))
    # 5. Update of the weights.
    run.done = step
    skipped = update(run, results, micro_batches)
    metrics = {
        **run.task.report(results.sums, counts),
        'rate': run.rates[0] * factor,
        'grad_norm': results.norms[-1],
        **reading,
    }
    run.health.count_training(metrics['loss'], known_norm(accelerator, metrics['grad_norm']))
    return {'step': step, **metrics, 'skipped_steps': run.skipped.total, **skipped}, stopping


def update(run: Run, results: StepResults, micro_batches: Sequence[MicroBatch]) -> dict[str, list[str]]:
    """Update the weights if the step is good; otherwise count it.

    Returns:
        The names of the samples that the step was skipped for, as a metric; empty if it was not skipped.

    Raises:
        FloatingPointError: as `take_step`.
    """
    if results.is_good:
        run.optimizer.step()
        update_average(run)
        run.skipped.in_a_row, run.skipped.good_batch = 0, micro_batches[-1]
        return {}
    run.skipped.total += 1
    run.skipped.in_a_row += 1
    names = suspects(run.accelerator, micro_batches, results.losses, results.norms)
    damage = find_damage(run)
    if damage:
        # Those with the weights after the last update.
        if run.accelerator.process_index == 0:
            set_aside(run.folder / STATES, run.done - run.skipped.in_a_row)
    elif run.skipped.in_a_row <= run.stage.max_skipped_steps:
        return {'skipped_samples': names}
    raise FloatingPointError(f'{run.stage.name}: {explain_stop(run.done, names, run.skipped, damage)}')


def find_damage(run: Run) -> list[str]:
    """Return what the last update has done, if it is to blame instead of a sample; alike in all processes."""
    names = nonfinite_parameters(run.model)
    works = is_still_good(run.model, run.skipped.good_batch, run.accelerator.device, run.task.outputs)
    # Of sharded parameters, each process has a part only.
    damaged, failed = sum_over_processes(run.accelerator, torch.tensor([len(names), float(not works)]))
    if damaged:
        return [f'{name} is not finite' for name in names] or ['parameters in another process are not finite']
    return ['the outputs are not finite any more for samples that were good before it'] * bool(failed)


def clip_gradient(run: Run) -> Tensor:
    """Clip the norm of the gradient over all processes, unless `clip` is 0; returns the norm before."""
    norm: Tensor | None = run.accelerator.clip_grad_norm_(run.model.parameters(), run.stage.clip or math.inf)
    # DeepSpeed computes it later, and skips steps by itself.
    return torch.zeros(()) if norm is None else whole(norm)


def count_step(run: Run, micro_batches: Sequence[MicroBatch]) -> tuple[dict[str, float], dict[str, int], bool]:
    """Sum counts over all processes.

    Returns:
        The divisors of the losses, the numbers of samples as metrics, and whether a process received SIGTERM.
    """
    # All in one vector, so that the processes communicate once.
    names = run.task.divisors
    counted = torch.zeros(len(names), dtype=torch.float64)
    for batch in micro_batches:
        counted += torch.tensor(run.task.count(batch), dtype=torch.float64)
    others = torch.tensor([*count_reading(micro_batches), run.preemption.triggered])
    totals = sum_over_processes(run.accelerator, torch.cat([counted, others]))
    *reading, stopping = totals[len(names) :]
    return dict(zip(names, totals, strict=False)), run.health.count(*reading), stopping > 0


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> list[float]:
    """Sum a vector over all processes; waits for the device only if there are several processes."""
    if accelerator.num_processes == 1:
        return values.tolist()
    summed: Tensor = accelerator.reduce(values.to(accelerator.device), 'sum')
    return summed.tolist()


def backward(run: Run, batch: MicroBatch, counts: dict[str, float]) -> Tensor:
    """Run both passes of one micro-batch; returns the sums of its terms and its loss, on the device.

    The backward pass runs in any case, because other processes wait for its gradients; if the outputs are not finite,
    all gradients are NaN.
    """
    loss = run.task.compute_loss(run.model(batch.inputs), batch, counts)
    # DDP averages gradients over the processes, but the loss is the share of this one in that of all processes already.
    run.accelerator.backward(loss.total * run.accelerator.num_processes)
    return torch.stack([*loss.sums, loss.total.detach()])


def read_results(run: Run, values: Tensor) -> StepResults:
    """Read the results of a step; the host waits for the device here, once per step.

    Args:
        run: the run.
        values: for each micro-batch of this process, the results of `backward` and the norm after it, stacked.
    """
    rows = values.tolist()
    sums = [sum(column) for column in zip(*(row[:-2] for row in rows), strict=True)]
    losses, norms = [row[-2] for row in rows], [row[-1] for row in rows]
    # The sums and whether this process has a bad one in one vector, so that the processes communicate once.
    bad = float(not is_good(losses, norms[-1]))
    *totals, any_bad = sum_over_processes(run.accelerator, torch.tensor([*sums, bad], dtype=torch.float64))
    return StepResults(losses, norms, totals, is_good=not any_bad)


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
