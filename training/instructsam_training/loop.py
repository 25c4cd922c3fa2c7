"""Training, read from top to bottom: a run is its stages, a stage is its steps, a step is its micro-batches.

Accelerate provides processes, sharding and precision (DDP, FSDP2 and DeepSpeed by its configuration); there is no
trainer class.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict

from instructsam_model.checkpoint import build_empty, write_checkpoint
from instructsam_model.network import InstructSAM
from instructsam_model.preprocess import Preprocessor
from instructsam_training.batch import Batch, ExampleBuilder
from instructsam_training.config import SAM3_PARTS, StageConfig, TrainConfig
from instructsam_training.data import MicroBatches, Plan, load_batches, open_table
from instructsam_training.handover import hand_over
from instructsam_training.interrupt import InterruptedRunError, StopFlag
from instructsam_training.journal import Journal, draw_curves, peak_memory_gib
from instructsam_training.losses import TERMS, compute_losses, count_terms, total_loss
from instructsam_training.processes import spread, start_processes
from instructsam_training.start import build_start, load_start
from instructsam_training.state import WHOLE, gather_state, read_last_state, restore_state, write_state
from instructsam_training.trainable import (
    SAM3_ALONE,
    choose_trainable,
    freeze_detector,
    merge_adapters,
    print_modules,
    report_modules,
)

MERGED = 'merged'


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
    ema: dict[str, Tensor] = field(default_factory=dict)
    stop: StopFlag = field(default_factory=StopFlag)


def train(config: TrainConfig) -> Path:
    """Run every stage that is not done yet.

    Returns:
        The checkpoint of the last stage, in the published layout.

    Raises:
        CheckpointError, ConfigError: the run cannot start.
        FloatingPointError: it has diverged; the message names the samples.
        InterruptedRunError: SIGTERM came; the next call goes on from there.
    """
    accelerator = start_processes(config)
    merged = Path()
    for index, stage in enumerate(config.stages):
        folder = Path(config.out) / stage.name
        previous, merged = merged, folder / MERGED
        if merged.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        network, preprocessor = load_start(previous) if index else build_start(config.start, config.seed)
        train_stage(accelerator, config, stage, network, preprocessor, folder)
    return merged


def train_stage(
    accelerator: Accelerator,
    config: TrainConfig,
    stage: StageConfig,
    network: InstructSAM,
    preprocessor: Preprocessor,
    folder: Path,
) -> None:
    """Train one stage to its end, from its last checkpoint if there is one, and write the merged weights."""
    whole = network.config
    if stage.part in SAM3_PARTS:
        network.config = replace(whole, variant=SAM3_ALONE)
    table = open_table(stage.data)
    plan = Plan(len(table), stage.global_batch, stage.micro_batch, config.seed, stage.data.group_by_length)
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    batches = MicroBatches(table, builder, plan, network.config)

    torch.manual_seed(config.seed)  # fresh adapters are the same in every process and after every restart
    choose_trainable(network, stage.rates, stage.lora)
    if stage.part == 'places':
        freeze_detector(network)
    steps = stage.steps or math.ceil(stage.epochs * plan.steps_an_epoch)
    if stage.hand_over and read_last_state(folder / 'states') is None:
        left = hand_over(network.to(accelerator.device), batches, plan)
        accelerator.print(f'{stage.name}: queries handed over, relative error {left:.3f}')
    if accelerator.is_main_process:
        title = f'{stage.name}: {steps} steps, processes: {accelerator.num_processes}'
        Console().print(print_modules(report_modules(network, stage.rates), title))
    if stage.gradient_checkpointing:
        checkpoint_activations(network)
    model, optimizer = spread(accelerator, network.train(), stage, shard=config.shard)
    rates = tuple(group['lr'] for group in optimizer.param_groups)
    run = Run(accelerator, config.seed, stage, folder, steps, model, optimizer, rates, network.config.num_queries)

    resume(run)
    accelerator.init_trackers(stage.name)
    run_steps(run, batches, plan, config.log_every)
    network.config = whole
    finish(run, network, preprocessor)


def resume(run: Run) -> None:
    """Go back to the last checkpoint, if there is one."""
    state = read_last_state(run.folder / 'states')
    if state is not None:
        restore_state(state, run.model, run.optimizer)
        run.done, run.ema = state.step, dict(state.ema)


def run_steps(run: Run, batches: MicroBatches, plan: Plan, log_every: int) -> None:
    """Take the steps that are left.

    Raises:
        FloatingPointError: the run has diverged.
        InterruptedRunError: it was asked to stop, and its state is saved.
    """
    accelerator, stage = run.accelerator, run.stage
    rank, processes = accelerator.process_index, accelerator.num_processes
    data = load_batches(batches, plan, range(run.done, run.steps), rank, processes, stage.data.workers)
    journal = Journal(run.folder, stage.name, run.steps, run.done, shown=accelerator.is_main_process)
    with run.stop.listening(), journal:
        for micro_batches in data:
            started = time.perf_counter()
            line, stopping = take_step(run, micro_batches)
            seconds = time.perf_counter() - started
            line |= {'images_per_s': stage.global_batch / seconds, 'memory_gib': peak_memory_gib()}
            journal.write(line, [reason for batch in micro_batches for reason in batch.skipped])
            if run.done % log_every == 0:
                accelerator.log(line, step=run.done)
            if run.done % stage.save_every == 0 or stopping or run.done == run.steps:
                save(run)
            if stopping and run.done < run.steps:
                raise InterruptedRunError(f'{stage.name}: stopped after step {run.done} of {run.steps}; run it again')


def take_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, float], bool]:
    """One optimizer step: its losses over all processes, and whether one of them was asked to stop."""
    accelerator, options, step = run.accelerator, run.stage.losses, run.done + 1
    factor = schedule(step, run.steps, run.stage.warmup)
    for group, rate in zip(run.optimizer.param_groups, run.rates, strict=True):
        group['lr'] = rate * factor
    micro_batches = [batch.for_part(run.stage.part) for batch in micro_batches]
    counts, stopping = count_step(run, micro_batches)

    run.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(len(TERMS), dtype=torch.float64, device=accelerator.device)
    for number, batch in enumerate(micro_batches):
        # Dropout and sampled points depend on the micro-batch, not on the process that happens to have it.
        torch.manual_seed(hash((run.seed, step, number * accelerator.num_processes + accelerator.process_index)))
        last = number == len(micro_batches) - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(run.model):
            sums += backward(run, batch.to(accelerator.device), counts)
    if run.stage.clip:
        accelerator.clip_grad_norm_(run.model.parameters(), run.stage.clip)
    run.optimizer.step()
    run.done = step
    update_average(run)
    means = [total / max(counts[name], 1) for name, total in zip(TERMS, add_up(accelerator, sums), strict=True)]
    loss = sum(getattr(options, name) * mean for name, mean in zip(TERMS, means, strict=True))
    return {'step': step, 'loss': loss, **dict(zip(TERMS, means, strict=True)), 'rate': run.rates[0] * factor}, stopping


def count_step(run: Run, micro_batches: Sequence[Batch]) -> tuple[dict[str, int], bool]:
    """What the losses of a step are divided by, over all processes, and whether one of them was asked to stop."""
    counted = torch.zeros(len(TERMS) + 1, dtype=torch.float64, device=run.accelerator.device)
    for batch in micro_batches:
        if batch.counts:
            counts = count_terms(len(batch.answers), batch.targets, run.num_queries, run.stage.losses, batch.leads)
            counted[:-1] += torch.tensor([counts[name] for name in TERMS], device=counted.device)
    counted[-1] = run.stop.raised
    *totals, stopping = add_up(run.accelerator, counted)
    return {name: int(total) for name, total in zip(TERMS, totals, strict=True)}, stopping > 0


def add_up(accelerator: Accelerator, values: Tensor) -> list[float]:
    """The sums of a vector over all processes."""
    summed: Tensor = accelerator.reduce(values, 'sum')
    return summed.tolist()


def backward(run: Run, batch: Batch, counts: dict[str, int]) -> Tensor:
    """Forward and backward of one micro-batch; the sums of its terms, float64.

    Raises:
        FloatingPointError: its loss is not finite.
    """
    names = ', '.join(batch.sources)
    try:
        terms = compute_losses(
            run.model(batch.inputs), batch.answers, batch.targets, run.stage.losses, leads=batch.leads
        )
    except FloatingPointError as error:
        raise FloatingPointError(f'{names}: {error}') from error
    loss = total_loss(terms, counts, run.stage.losses) * batch.counts
    if not loss.isfinite():
        values = {name: float(value) for name, value in terms.sums.items()}
        raise FloatingPointError(f'{names}: the loss is not finite: {values}; the last checkpoint is from before')
    # Processes average their gradients, and the terms are divided by the counts of all of them already.
    run.accelerator.backward(loss * run.accelerator.num_processes)
    return torch.stack([terms.sums[name].detach().double() for name in TERMS]) * batch.counts


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


def save(run: Run) -> None:
    """Gather the stage's state from all processes and write it."""
    state = gather_state(run.done, run.model, run.optimizer, run.ema)
    if run.accelerator.is_main_process:
        write_state(run.folder / 'states', state, run.stage.keep)
    run.accelerator.wait_for_everyone()


def finish(run: Run, network: InstructSAM, preprocessor: Preprocessor) -> None:
    """Merge the adapters, write the stage's checkpoint in the published layout, and draw its curves."""
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=WHOLE), **run.ema}
    if run.accelerator.is_main_process:
        merged = build_empty(network.config)
        # Gathered ones may be views of something larger, which safetensors does not write.
        on_cpu = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        merged.load_state_dict(merge_adapters(on_cpu, run.stage.lora), assign=True)
        write_checkpoint(run.folder / MERGED, merged, preprocessor)
        draw_curves(run.folder / 'metrics.jsonl', run.folder / 'curves.png')
    run.accelerator.wait_for_everyone()


def checkpoint_activations(network: InstructSAM) -> None:
    """Compute the activations of all but SAM3's frozen encoder again in the backward pass."""
    for module in (network.model.language_model, network.model.visual):
        # transformers gave it another name in 5.23
        enable = getattr(module, 'activation_checkpointing_enable', module.gradient_checkpointing_enable)
        enable({'use_reentrant': False})
    network.model.grounding_model.checkpointing = True
