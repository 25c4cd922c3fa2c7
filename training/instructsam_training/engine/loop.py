"""The training loop, from top to bottom: a run has stages, a stage has steps, a step has micro-batches.

Accelerate provides processes, sharding and precision (DDP, FSDP2, and DeepSpeed by its configuration); there is no
trainer class.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from instructsam_model.errors import ConfigError
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_training.check.run import check_stages
from instructsam_training.config.options import StageConfig, TrainConfig
from instructsam_training.data.sampler import BatchPlan, MicroBatchDataset, load_batches
from instructsam_training.engine.best import copy_best
from instructsam_training.engine.card import add_validation
from instructsam_training.engine.curves import draw_curves, learning_rates
from instructsam_training.engine.data_health import gather_errors, resume_health
from instructsam_training.engine.distributed import (
    describe_device,
    distribute,
    run_in_first_process,
    start_processes,
)
from instructsam_training.engine.frozen import cast_frozen
from instructsam_training.engine.fused_norm import fuse_norms
from instructsam_training.engine.gather import gather_tensors
from instructsam_training.engine.metrics_logger import MetricsLogger, read_lines
from instructsam_training.engine.nonfinite import check_progress
from instructsam_training.engine.resumption import open_record
from instructsam_training.engine.run_lock import RunLock
from instructsam_training.engine.signals import InterruptedRunError
from instructsam_training.engine.state import (
    STATES,
    find_learned,
    gather_state,
    read_last_state,
    restore_state,
    write_state,
)
from instructsam_training.engine.step import Run, take_step
from instructsam_training.engine.validation import Validation, check_validations
from instructsam_training.families.choose import choose_family
from instructsam_training.families.family import StageTask
from instructsam_training.families.results import check_result, result_folder


def train(config: TrainConfig, override: Sequence[str] = ()) -> Path:
    """Run all stages that are not finished yet.

    Args:
        config: of the run.
        override: keys that may differ from those that the run was started with; see `open_record`.

    Returns:
        The checkpoint of the last stage, in the published layout.

    Raises:
        CheckpointError, ConfigError: the run cannot start.
        FloatingPointError: it has diverged; the message names the samples.
        InterruptedRunError: SIGTERM arrived; the next call resumes from there.
    """
    accelerator = start_processes(config)
    check_validations(config)
    device, processes = describe_device(accelerator), accelerator.num_processes
    with RunLock(Path(config.out)) as lock:
        console = Console(stderr=True)
        run_in_first_process(accelerator, lambda: open_record(config, device, processes, override, console, lock))
        return run_stages(accelerator, config)


def run_stages(accelerator: Accelerator, config: TrainConfig) -> Path:
    """Train the stages that are not finished yet; return and raise as `train`."""
    family, merged, is_checked = choose_family(config), Path(), False
    for index, stage in enumerate(config.stages):
        folder = Path(config.out) / stage.name
        previous, merged = merged, result_folder(folder, stage)
        # The result is written last and atomically: the stage is done.
        if merged.exists():
            check_result(merged)
            accelerator.print(f'{stage.name}: finished before')
            continue
        folder.mkdir(parents=True, exist_ok=True)
        task = family.load_task(config, stage, previous if index else None)
        # Before the first step of the run; not again when a later stage begins.
        if not is_checked:
            check = partial(check_stages, config, config.stages[index:], task)
            run_in_first_process(accelerator, check)
            is_checked = True
        train_stage(accelerator, config, task, folder)
    return merged


def train_stage(accelerator: Accelerator, config: TrainConfig, task: StageTask, folder: Path) -> None:
    """Train one stage, resuming from its last checkpoint if there is one, and write the merged weights."""
    # 1. Data.
    stage, samples = task.stage, task.open_samples()
    report(accelerator, stage, task.describe_samples(samples))
    plan = BatchPlan(len(samples), stage.global_batch, stage.micro_batch, config.seed, stage.data.group_by_length)
    batches = MicroBatchDataset(samples, task.make_builder(), plan)

    # 2. Trained parameters; by the seed, new adapters are the same in every process and after every restart.
    torch.manual_seed(config.seed)
    task.choose_trainable()
    steps = stage.steps or plan.steps(stage.epochs)
    # 3. What a stage begins with, unless it is in a checkpoint of this stage already.
    if read_last_state(folder / STATES) is None:
        report(accelerator, stage, task.initialize(batches, plan, accelerator.device))
    if accelerator.is_main_process:
        Console().print(task.modules_table(f'{stage.name}: {steps} steps, processes: {accelerator.num_processes}'))
    # 4. Steps, from the first one that is not in a checkpoint.
    run = start_run(accelerator, config, task, folder, steps)
    resume(run)
    validation = Validation(run, config)
    accelerator.init_trackers(stage.name)
    run_steps(run, batches, plan, config.log_every, validation)
    finish(run, validation)


def report(accelerator: Accelerator, stage: StageConfig, remark: str) -> None:
    """Print a remark about a stage, unless it is empty."""
    if remark:
        accelerator.print(f'{stage.name}: {remark}')


def start_run(accelerator: Accelerator, config: TrainConfig, task: StageTask, folder: Path, steps: int) -> Run:
    """Distribute the network and its optimizer over the processes, after `choose_trainable`."""
    stage = task.stage
    # Before the distribution, which may shard the parameters.
    keep = accelerator.is_main_process or stage.validation is not None
    rounded = prepare_network(task, config, accelerator.device, keep=keep)
    task.network.train()
    model, optimizer = distribute(accelerator, task, config)
    return Run(
        accelerator=accelerator,
        seed=config.seed,
        stage=stage,
        task=task,
        folder=folder,
        steps=steps,
        model=model,
        optimizer=optimizer,
        rates=tuple(group['lr'] for group in optimizer.param_groups),
        rounded=rounded,
    )


def prepare_network(task: StageTask, config: TrainConfig, device: torch.device, *, keep: bool) -> dict[str, Tensor]:
    """Apply the memory and speed options of a stage to its network, after `choose_trainable`.

    Returns:
        As `cast_frozen`, which takes `keep`.
    """
    if task.stage.gradient_checkpointing:
        task.recompute_activations()
    # On a CPU the fused norms are not faster, and differ in the last bit.
    if device.type == 'cuda':
        fuse_norms(task.network)
    if config.precision == 'bfloat16' and not config.frozen_float32:
        return cast_frozen(task.network, keep=keep)
    return {}


def resume(run: Run) -> None:
    """Load the last checkpoint of the stage, if there is one."""
    state = read_last_state(run.folder / STATES, run.accelerator.print)
    if state is not None:
        restore_state(state, run.model, run.optimizer)
        run.done, run.ema, run.skipped.total = state.step, dict(state.ema), state.skipped


def run_steps(run: Run, batches: MicroBatchDataset, plan: BatchPlan, log_every: int, validation: Validation) -> None:
    """Take the remaining steps of the stage, or fewer if the validation ends it early.

    Raises:
        FloatingPointError: the run has diverged.
        InterruptedRunError: the run was stopped by SIGTERM, and its state is saved.
    """
    accelerator, stage = run.accelerator, run.stage
    rank, processes = accelerator.process_index, accelerator.num_processes
    data = load_batches(batches, plan, range(run.done, run.steps), rank, processes, stage.data.workers)
    logger = MetricsLogger(run.folder, stage.name, run.steps, run.done, enabled=accelerator.is_main_process)
    run.health = resume_health(accelerator, read_lines(logger.file) if accelerator.is_main_process else ())
    with run.preemption.installed(), logger:
        # Due already if SIGTERM ended the run during a validation.
        stopping = validation.is_due and not validation.validate(logger)
        for micro_batches in data:
            if stopping or validation.is_exhausted:
                break
            started = time.perf_counter()
            line, stopping = take_step(run, micro_batches)
            # `take_step` waits for the device before it updates the weights, so this is the time from one update to the
            # next without reading the data.
            seconds = time.perf_counter() - started
            line |= {'images_per_s': stage.global_batch / seconds, 'memory_gib': peak_memory_gib()}
            line |= learning_rates(run.optimizer.param_groups)
            logger.write(line, gather_errors(accelerator, run.health, micro_batches))
            # The file has every step, the trackers one of `log_every`.
            if run.done % log_every == 0:
                accelerator.log(line, step=run.done)
            if fault := run.health.find_fault(stage):
                save(run)
                raise ConfigError(fault)
            if validation.is_due and not stopping:
                stopping = not validation.validate(logger)
            # All processes agree on `stopping`, and so on whether to save.
            if run.done % stage.save_every == 0 or stopping or run.done == run.steps:
                save(run)
    if stopping and (run.done < run.steps or validation.is_due):
        raise InterruptedRunError(
            f'{stage.name}: stopped after step {run.done} of {run.steps}; run the same command again to resume'
        )


def save(run: Run) -> None:
    """Gather the state of the stage from all processes and write a checkpoint.

    Raises:
        FloatingPointError, OSError: see `write_state`; in all processes.
    """
    state = gather_state(run.done, run.model, run.optimizer, run.ema, run.skipped.total)
    run_in_first_process(run.accelerator, lambda: write_state(run.folder / STATES, state, run.stage.keep))


def finish(run: Run, validation: Validation) -> None:
    """Write the weights of the stage, the last or the best ones, and plot its curves.

    Raises:
        FloatingPointError: all steps were skipped, so that there is nothing to write.
        ConfigError: no step had anything to train.
        CheckpointError: a weight is not finite, or the adapter's base checkpoint cannot be read.
        OSError: a file cannot be written.
    """
    check_progress(run.stage.name, run.steps, run.skipped)
    if fault := run.health.find_fault(run.stage, is_last=True):
        raise ConfigError(fault)
    report_movement(run)
    tensors = None if validation.ends_with_best else gather_tensors(run)
    run_in_first_process(run.accelerator, lambda: write_result(run, tensors))


def report_movement(run: Run) -> None:
    """Print which of the trained tensors have moved in the stage, if its task reports it; every process calls it."""
    if not run.task.reports_movement:
        return
    tensors, learned = gather_tensors(run), find_learned(run.model, run.optimizer)

    def write() -> None:
        assert tensors is not None
        Console().print(run.task.report_movement(run.folder, tensors, learned))

    run_in_first_process(run.accelerator, write)


def write_result(run: Run, tensors: Mapping[str, Tensor] | None) -> None:
    """Write the result of the stage and its curves, in the first process.

    Args:
        run: the stage, with all its steps done.
        tensors: the last weights; None: the result is the best ones, which are on disk.
    """
    if tensors is not None:
        run.task.write(run.folder, tensors)
    else:
        result = result_folder(run.folder, run.stage)
        copy_best(run.folder, result)
        add_validation(run.folder, run.stage, result)
    draw_curves(run.folder / 'metrics.jsonl', run.folder / 'curves.png')
