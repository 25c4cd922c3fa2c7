"""Training, read from top to bottom: a run is its stages, a stage is its steps, a step is its micro-batches.

Accelerate provides processes, sharding and precision (DDP, FSDP2 and DeepSpeed by its configuration); there is no
trainer class.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_model_state_dict

from instructsam_model.instructsam.checkpoint import build_empty, write_checkpoint
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.batch import ExampleBuilder
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches, open_table
from instructsam_training.engine.distributed import spread, start_processes
from instructsam_training.engine.frozen import cast_frozen
from instructsam_training.engine.fused_norm import fuse_norms
from instructsam_training.engine.metrics_logger import MetricsLogger, draw_curves
from instructsam_training.engine.signals import InterruptedRunError
from instructsam_training.engine.state import FULL_STATE, gather_state, read_last_state, restore_state, write_state
from instructsam_training.engine.step import Run, take_step
from instructsam_training.families.instructsam.initial_weights import load_checkpoint, load_initial_weights
from instructsam_training.families.instructsam.query_initialization import init_queries_from_sam3
from instructsam_training.families.instructsam.trainable import (
    choose_trainable,
    merge_adapters,
    print_modules,
    report_modules,
)

MERGED = 'merged'


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
        network, preprocessor = load_checkpoint(previous) if index else load_initial_weights(config.start, config.seed)
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
    table = open_table(stage.data)
    plan = BatchPlan(len(table), stage.global_batch, stage.micro_batch, config.seed, stage.data.group_by_length)
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    batches = MicroBatchDataset(table, builder, plan, network.config)

    torch.manual_seed(config.seed)  # fresh adapters are the same in every process and after every restart
    choose_trainable(network, stage.rates, stage.lora, stage.objective)
    steps = stage.steps or math.ceil(stage.epochs * plan.steps_an_epoch)
    if stage.init_queries_from_sam3 and read_last_state(folder / 'states') is None:
        error = init_queries_from_sam3(network.to(accelerator.device), batches, plan)
        accelerator.print(f"{stage.name}: query projection fitted to SAM3's queries, relative error {error:.3f}")
    if accelerator.is_main_process:
        title = f'{stage.name}: {steps} steps, processes: {accelerator.num_processes}'
        Console().print(print_modules(report_modules(network, stage.rates), title))
    run = start_run(accelerator, config, stage, network, folder, steps)
    resume(run)
    accelerator.init_trackers(stage.name)
    run_steps(run, batches, plan, config.log_every)
    finish(run, network, preprocessor)


def start_run(
    accelerator: Accelerator, config: TrainConfig, stage: StageConfig, network: InstructSAM, folder: Path, steps: int
) -> Run:
    """Spread the network, with what learns chosen already, and its optimizer over the processes."""
    rounded = prepare_network(network, config, stage, accelerator.device, keep=accelerator.is_main_process)
    model, optimizer = spread(accelerator, network.train(), stage, shard=config.shard)
    return Run(
        accelerator=accelerator,
        seed=config.seed,
        stage=stage,
        folder=folder,
        steps=steps,
        model=model,
        optimizer=optimizer,
        rates=tuple(group['lr'] for group in optimizer.param_groups),
        num_queries=network.config.num_queries,
        rounded=rounded,
    )


def prepare_network(
    network: InstructSAM, config: TrainConfig, stage: StageConfig, device: torch.device, *, keep: bool
) -> dict[str, Tensor]:
    """Let a network, with what learns chosen already, compute as a stage asks for and as suits the device.

    Returns:
        As `cast_frozen`, which gets `keep`.
    """
    if stage.gradient_checkpointing:
        checkpoint_activations(network)
    if device.type == 'cuda':  # on a CPU it is no faster, and differs in the last bit
        fuse_norms(network)
    if config.precision == 'bfloat16' and not config.frozen_float32:
        return cast_frozen(network, keep=keep)
    return {}


def resume(run: Run) -> None:
    """Go back to the last checkpoint, if there is one."""
    state = read_last_state(run.folder / 'states')
    if state is not None:
        restore_state(state, run.model, run.optimizer)
        run.done, run.ema = state.step, dict(state.ema)


def run_steps(run: Run, batches: MicroBatchDataset, plan: BatchPlan, log_every: int) -> None:
    """Take the steps that are left.

    Raises:
        FloatingPointError: the run has diverged.
        InterruptedRunError: it was asked to stop, and its state is saved.
    """
    accelerator, stage = run.accelerator, run.stage
    rank, processes = accelerator.process_index, accelerator.num_processes
    data = load_batches(batches, plan, range(run.done, run.steps), rank, processes, stage.data.workers)
    journal = MetricsLogger(run.folder, stage.name, run.steps, run.done, shown=accelerator.is_main_process)
    with run.stop.listening(), journal:
        for micro_batches in data:
            started = time.perf_counter()
            line, stopping = take_step(run, micro_batches)
            seconds = time.perf_counter() - started
            line |= {'images_per_s': stage.global_batch / seconds, 'memory_gib': peak_memory_gib()}
            journal.write(line, [reason for batch in micro_batches for reason in batch.errors])
            if run.done % log_every == 0:
                accelerator.log(line, step=run.done)
            if run.done % stage.save_every == 0 or stopping or run.done == run.steps:
                save(run)
            if stopping and run.done < run.steps:
                raise InterruptedRunError(f'{stage.name}: stopped after step {run.done} of {run.steps}; run it again')


def save(run: Run) -> None:
    """Gather the stage's state from all processes and write it."""
    state = gather_state(run.done, run.model, run.optimizer, run.ema)
    if run.accelerator.is_main_process:
        write_state(run.folder / 'states', state, run.stage.keep)
    run.accelerator.wait_for_everyone()


def finish(run: Run, network: InstructSAM, preprocessor: Preprocessor) -> None:
    """Merge the adapters, write the stage's checkpoint in the published layout, and draw its curves."""
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=FULL_STATE), **run.ema}
    if run.accelerator.is_main_process:
        merged = build_empty(network.config)
        # Gathered ones may be views of something larger, which safetensors does not write.
        on_cpu = {name: tensor.detach().cpu().to(torch.float32, copy=True) for name, tensor in tensors.items()}
        on_cpu |= run.rounded
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
