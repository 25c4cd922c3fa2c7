"""The training loop, from top to bottom: a run has stages, a stage has steps, a step has micro-batches.

Accelerate provides processes, sharding and precision (DDP, FSDP2, and DeepSpeed by its configuration); there is no
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

from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.batch import ExampleBuilder
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches
from instructsam_training.datasets.io.training_data import open_table
from instructsam_training.engine.distributed import distribute, start_processes
from instructsam_training.engine.frozen import cast_frozen
from instructsam_training.engine.fused_norm import fuse_norms
from instructsam_training.engine.metrics_logger import MetricsLogger, draw_curves
from instructsam_training.engine.nonfinite import check_progress
from instructsam_training.engine.signals import InterruptedRunError
from instructsam_training.engine.stage_output import continue_adapter, result_folder, write_outputs
from instructsam_training.engine.state import (
    FULL_STATE,
    STATES,
    gather_state,
    read_last_state,
    restore_state,
    write_state,
)
from instructsam_training.engine.step import Run, take_step
from instructsam_training.families.instructsam.initial_weights import load_checkpoint, load_initial_weights
from instructsam_training.families.instructsam.query_initialization import init_queries_from_sam3
from instructsam_training.families.instructsam.trainable import (
    choose_trainable,
    modules_table,
    report_modules,
)


def train(config: TrainConfig) -> Path:
    """Run all stages that are not finished yet.

    Returns:
        The checkpoint of the last stage, in the published layout.

    Raises:
        CheckpointError, ConfigError: the run cannot start.
        FloatingPointError: it has diverged; the message names the samples.
        InterruptedRunError: SIGTERM arrived; the next call resumes from there.
    """
    accelerator = start_processes(config)
    merged = Path()
    for index, stage in enumerate(config.stages):
        folder = Path(config.out) / stage.name
        previous, merged = merged, result_folder(folder, stage)
        # The result is written last and atomically: the stage is done.
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
    """Train one stage, resuming from its last checkpoint if there is one, and write the merged weights."""
    # 1. Data.
    table = open_table(stage.data)
    plan = BatchPlan(len(table), stage.global_batch, stage.micro_batch, config.seed, stage.data.group_by_length)
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    batches = MicroBatchDataset(table, builder, plan, network.config)

    # 2. Trained parameters; by the seed, new adapters are the same in every process and after every restart.
    torch.manual_seed(config.seed)
    choose_trainable(network, stage.rates, stage.lora, stage.objective)
    continue_adapter(network, config, stage)
    steps = stage.steps or math.ceil(stage.epochs * plan.steps_per_epoch)
    # 3. Query projection, unless it is in a checkpoint of this stage already.
    if stage.init_queries_from_sam3 and read_last_state(folder / STATES) is None:
        error = init_queries_from_sam3(network.to(accelerator.device), batches, plan)
        accelerator.print(f"{stage.name}: query projection fitted to SAM3's queries, relative error {error:.3f}")
    if accelerator.is_main_process:
        title = f'{stage.name}: {steps} steps, processes: {accelerator.num_processes}'
        Console().print(modules_table(report_modules(network, stage.rates), title))
    # 4. Steps, from the first one that is not in a checkpoint.
    run = start_run(accelerator, config, stage, network, folder, steps)
    resume(run)
    accelerator.init_trackers(stage.name)
    run_steps(run, batches, plan, config.log_every)
    finish(run, config, network, preprocessor)


def start_run(
    accelerator: Accelerator, config: TrainConfig, stage: StageConfig, network: InstructSAM, folder: Path, steps: int
) -> Run:
    """Distribute the network and its optimizer over the processes, after `choose_trainable`."""
    # Before the distribution, which may shard the parameters.
    rounded = prepare_network(network, config, stage, accelerator.device, keep=accelerator.is_main_process)
    model, optimizer = distribute(accelerator, network.train(), stage, shard=config.shard)
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
    """Apply the memory and speed options of a stage to a network, after `choose_trainable`.

    Returns:
        As `cast_frozen`, which takes `keep`.
    """
    if stage.gradient_checkpointing:
        recompute_activations(network)
    # On a CPU the fused norms are not faster, and differ in the last bit.
    if device.type == 'cuda':
        fuse_norms(network)
    if config.precision == 'bfloat16' and not config.frozen_float32:
        return cast_frozen(network, keep=keep)
    return {}


def resume(run: Run) -> None:
    """Load the last checkpoint of the stage, if there is one."""
    state = read_last_state(run.folder / STATES, run.accelerator.print)
    if state is not None:
        restore_state(state, run.model, run.optimizer)
        run.done, run.ema, run.skipped.total = state.step, dict(state.ema), state.skipped


def run_steps(run: Run, batches: MicroBatchDataset, plan: BatchPlan, log_every: int) -> None:
    """Take the remaining steps of the stage.

    Raises:
        FloatingPointError: the run has diverged.
        InterruptedRunError: the run was stopped by SIGTERM, and its state is saved.
    """
    accelerator, stage = run.accelerator, run.stage
    rank, processes = accelerator.process_index, accelerator.num_processes
    data = load_batches(batches, plan, range(run.done, run.steps), rank, processes, stage.data.workers)
    logger = MetricsLogger(run.folder, stage.name, run.steps, run.done, enabled=accelerator.is_main_process)
    with run.preemption.installed(), logger:
        for micro_batches in data:
            started = time.perf_counter()
            line, stopping = take_step(run, micro_batches)
            # `take_step` waits for the device before it updates the weights, so this is the time from one update to the
            # next without reading the data.
            seconds = time.perf_counter() - started
            line |= {'images_per_s': stage.global_batch / seconds, 'memory_gib': peak_memory_gib()}
            logger.write(line, [error for batch in micro_batches for error in batch.errors])
            # The file has every step, the trackers one of `log_every`.
            if run.done % log_every == 0:
                accelerator.log(line, step=run.done)
            # All processes agree on `stopping`, and so on whether to save.
            if run.done % stage.save_every == 0 or stopping or run.done == run.steps:
                save(run)
            if stopping and run.done < run.steps:
                raise InterruptedRunError(
                    f'{stage.name}: stopped after step {run.done} of {run.steps}; run the same command again to resume'
                )


def save(run: Run) -> None:
    """Gather the state of the stage from all processes and write a checkpoint.

    Raises:
        FloatingPointError, OSError: see `write_state`.
    """
    state = gather_state(run.done, run.model, run.optimizer, run.ema, run.skipped.total)
    if run.accelerator.is_main_process:
        write_state(run.folder / STATES, state, run.stage.keep)
    run.accelerator.wait_for_everyone()


def finish(run: Run, config: TrainConfig, network: InstructSAM, preprocessor: Preprocessor) -> None:
    """Write the weights of the stage, merged or as an adapter, and plot its curves.

    Raises:
        FloatingPointError: all steps were skipped, so that there is nothing to write.
        CheckpointError: a weight is not finite.
    """
    check_progress(run.stage.name, run.steps, run.skipped)
    # Averaged weights, if there are any, replace the trained ones.
    tensors: dict[str, Any] = {**get_model_state_dict(run.model, options=FULL_STATE), **run.ema}
    if run.accelerator.is_main_process:
        # Gathered tensors may be views of larger ones, which safetensors does not write.
        on_cpu = {name: tensor.detach().cpu().to(torch.float32, copy=True) for name, tensor in tensors.items()}
        # Frozen weights that were rounded to bfloat16 get their exact values back.
        on_cpu |= run.rounded
        write_outputs(run.folder, config, run.stage, network, on_cpu, preprocessor)
        draw_curves(run.folder / 'metrics.jsonl', run.folder / 'curves.png')
    run.accelerator.wait_for_everyone()


def recompute_activations(network: InstructSAM) -> None:
    """Recompute activations in the backward pass (gradient checkpointing), except those of SAM3's frozen encoder."""
    for module in (network.model.language_model, network.model.visual):
        # Renamed in transformers 5.23.
        enable = getattr(module, 'activation_checkpointing_enable', module.gradient_checkpointing_enable)
        enable({'use_reentrant': False})
    network.model.grounding_model.checkpointing = True
