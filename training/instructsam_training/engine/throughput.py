"""Throughput of a training stage: measured on this machine, or modeled for a GPU that is not installed.

Arithmetic is counted by torch in one step, matrix products alone; the share of the peak is the time that they would
take at the peak rate. Kernels and host waits are counted on a GPU, or recorded on fake CUDA tensors, where times are
those of a model of the GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track

from instructsam_model.bench.roofline import count_arithmetic, describe_device
from instructsam_model.fake_cuda import CUDA, FakeCuda
from instructsam_model.fake_cuda.gpus import get_gpu
from instructsam_model.fake_cuda.time_model import model_time
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_training.config.options import TrainConfig
from instructsam_training.data.micro_batch import MicroBatch
from instructsam_training.engine.launches import Launches, count_launches
from instructsam_training.engine.loop import prepare_network
from instructsam_training.engine.single_process import start_single_process
from instructsam_training.engine.step import take_step
from instructsam_training.families.choose import choose_family
from instructsam_training.families.family import StageTask

FAKE_CUDA = 'fake-cuda'
WARM_UP_STEPS = 2
Figures = dict[str, float | str | None]


@dataclass(frozen=True)
class Workload:
    """Size and number of the steps to take.

    Attributes:
        size_wh: width and height of the images, pixels.
        phrases: questions or instructions per image.
        micro_batch: images per step; None: that of the stage.
        steps: steps to time.
        architecture: folder with a `config.json`; None: the initial checkpoint of the run.
        tokenizer: folder of a checkpoint; None: the architecture.
    """

    size_wh: tuple[int, int] = (640, 480)
    phrases: int = 3
    micro_batch: int | None = None
    steps: int = 10
    architecture: Path | None = None
    tokenizer: Path | None = None


def measure_throughput(
    config: TrainConfig, stage_index: int, workload: Workload, device: str, gpu: str, peak_tflops: float
) -> Figures:
    """Measure the throughput of one stage, or model it with `fake-cuda`.

    Args:
        config: of the run.
        stage_index: number of the stage, from 0.
        workload: the steps to take.
        device: `auto`, `cpu`, `cuda` or `fake-cuda`.
        gpu: model of the GPU for `fake-cuda`.
        peak_tflops: peak rate of the device, for the share of it; 0: unknown.

    Raises:
        CheckpointError: the architecture or the tokenizer cannot be read.
        ConfigError: a setting is wrong.
    """
    stage = config.stages[stage_index]
    count = workload.micro_batch or stage.micro_batch
    task = choose_family(config).build_task(config, stage, workload.architecture, workload.tokenizer)
    batch = task.make_random_batch(workload.size_wh, count, workload.phrases)
    if device == FAKE_CUDA:
        figures = record_step(task, batch, config, gpu)
    else:
        figures = time_stage(task, batch, config, parse_device(device), workload.steps, peak_tflops)
    width, height = workload.size_wh
    about: Figures = {
        'image_size': f'{width}x{height}',
        'micro_batch': count,
        'phrases_per_image': workload.phrases,
    }
    return {'device': figures.pop('device'), **about, **figures}


def time_stage(
    task: StageTask,
    batch: MicroBatch,
    config: TrainConfig,
    device: torch.device,
    steps: int,
    peak_tflops: float,
) -> Figures:
    """Time steps on this machine; kernels and host waits are counted on a GPU only."""
    step = make_step(task, batch, config, device)
    # In a step of its own, because counting takes time.
    with count_arithmetic() as counter:
        step()
    seconds = time_steps(step, steps, device)
    launches = count_launches(step) if device.type == 'cuda' else None
    median, count = statistics.median(seconds), len(batch.sources)
    tflops = counter.get_total_flops() / median / 1e12
    return {
        'device': describe_device(device),
        'seconds_p50': median,
        'seconds_max': max(seconds),
        'images_per_s': count / median,
        'tflop_per_step': counter.get_total_flops() / 1e12,
        'tflop_per_s': tflops,
        'share_of_peak': tflops / peak_tflops if peak_tflops else None,
        'peak_memory_gib': peak_memory_gib(device),
        **report_launches(launches, count),
    }


def record_step(task: StageTask, batch: MicroBatch, config: TrainConfig, gpu: str) -> Figures:
    """Record a step on fake CUDA tensors; its times come from a model of the GPU.

    Raises:
        ConfigError: the GPU is unknown.
    """
    card = get_gpu(gpu)
    with FakeCuda() as cuda:
        step = make_step(task, batch, config, CUDA)
        # The first step allocates the optimizer's moments; it is not recorded.
        step()
        with cuda.recording() as recording:
            step()
    modeled, count = model_time(recording, card), len(batch.sources)
    return {
        'device': f'none: a model of {card.title}, nothing was measured',
        'modeled_ms': modeled.ms,
        'modeled_busy_ms': modeled.busy_ms,
        'modeled_ms_per_image': modeled.ms / count,
        'tflop_per_step': recording.flops / 1e12,
        'traffic_gb_per_step': recording.bytes / 1e9,
        'peak_memory_gib': recording.peak_bytes / 2**30,
        **report_launches(Launches(recording.launches, len(recording.host_waits)), count),
        **{f'wait_{number}': str(op) for number, op in enumerate(recording.host_waits, 1)},
    }


def report_launches(launches: Launches | None, images: int) -> Figures:
    """Return kernels and host waits of a step with this number of images; None if they were not counted."""
    return {
        'kernels_per_step': launches.kernels if launches else None,
        'kernels_per_image': launches.kernels / images if launches else None,
        'host_waits_per_step': launches.host_waits if launches else None,
    }


def make_step(task: StageTask, batch: MicroBatch, config: TrainConfig, device: torch.device) -> Callable[[], object]:
    """Return a function that takes one optimizer step of the stage, from random weights."""
    task.fill_randomly(device)
    task.choose_trainable()
    prepare_network(task, config, device, keep=False)
    task.network.train()
    run = start_single_process(task, device, bfloat16=config.precision == 'bfloat16')
    # As torch's data loader does.
    pinned = batch.pin_memory() if device.type == 'cuda' else batch
    return lambda: take_step(run, [pinned])


def time_steps(step: Callable[[], object], count: int, device: torch.device) -> list[float]:
    """Return the seconds of each of `count` steps, after a warm-up."""
    seconds = []
    for number in track(range(WARM_UP_STEPS + count), description='steps'):
        # Kernels run asynchronously: wait for those of the step before, and for those of this one.
        if device.type == 'cuda':
            torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        if device.type == 'cuda':
            torch.cuda.synchronize()
        if number >= WARM_UP_STEPS:
            seconds.append(time.perf_counter() - started)
    return seconds
