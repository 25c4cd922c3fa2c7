r"""How fast a stage trains on this machine, or what it would ask of a GPU that is not there.

    python -m instructsam_training.cli.throughput training/configs/tiny.yaml --steps 5
    python -m instructsam_training.cli.throughput training/configs/stage1.yaml --picture 1280x960 --micro-batch 8 \
        --architecture training/configs/instructsam-2b --tokenizer tests/golden/checkpoint --device fake-cuda

Made pictures and random weights, so nothing needs to be at hand. A step is upload, forward, losses, backward and
optimizer for one micro-batch, by the same code as in training; reading data is not in it. Arithmetic is counted by
torch in one step, matrix products alone; the share of the peak is what they would take at `--peak-tflops`. Kernels and
host waits are counted on a GPU, or recorded with `--device fake-cuda`, where times are those of a model of `--gpu`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from instructsam_model import Frame
from instructsam_model.bench.roofline import count_arithmetic, describe_device
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.fake_cuda import CUDA, FakeCuda
from instructsam_model.fake_cuda.cards import CARDS, get_card
from instructsam_model.fake_cuda.time_model import model_time
from instructsam_model.instructsam.checkpoint import build_empty, read_config, resolve_sam3
from instructsam_model.instructsam.config import ModelConfig
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.preprocess import Preprocessor, read_preprocessor
from instructsam_model.instructsam.random_weights import fill_randomly, with_tokens_of
from instructsam_model.runtime.device import parse_device
from instructsam_model.weights.hub import resolve_path
from instructsam_training.config.config_file import read_config as read_run
from instructsam_training.config.options import SAM3_PARTS, StageConfig, TrainConfig
from instructsam_training.data.batch import Batch, Example, ExampleBuilder, collate
from instructsam_training.data.conversation import Span, Turn
from instructsam_training.data.targets import PhraseTarget
from instructsam_training.engine.launches import Launches, count_launches
from instructsam_training.engine.loop import prepare_network
from instructsam_training.engine.metrics_logger import peak_memory_gib
from instructsam_training.engine.one_process import start_alone
from instructsam_training.engine.step import take_step
from instructsam_training.families.instructsam.trainable import SAM3_ALONE, choose_trainable, freeze_detector

FAKE = 'fake-cuda'
Figures = dict[str, float | str | None]
INSTANCES = 2
WARM_UP = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when it was measured, 2 when it cannot be."""
    arguments = build_parser().parse_intermixed_args(argv)
    try:
        result = measure(arguments)
    except (CheckpointError, ConfigError) as error:
        print(f'throughput: error: {error}', file=sys.stderr)
        return 2
    table = Table(title=f'{arguments.config.stem} on {result["device"]}')
    table.add_column('figure')
    table.add_column('value', justify='right')
    for name, value in result.items():
        table.add_row(name, f'{value:.4g}' if isinstance(value, float) else str(value))
    Console().print(table)
    print(json.dumps(result))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_training.cli.throughput')
    parser.add_argument('config', type=Path)
    parser.add_argument('settings', nargs='*', metavar='key=value')
    parser.add_argument('--stage', type=int, default=0, help='which one, from 0')
    parser.add_argument(
        '--architecture', type=Path, help='folder with a config.json, in place of what the run starts from'
    )
    parser.add_argument(
        '--tokenizer', type=Path, help='folder of a checkpoint with one; that of the architecture if not given'
    )
    parser.add_argument('--picture', default='640x480', help='width x height')
    parser.add_argument('--phrases', type=int, default=3, help='a picture, each a question of its own')
    parser.add_argument('--micro-batch', type=int, help="the stage's if not given")
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--peak-tflops', type=float, default=0.0, help='of the device in the precision of the run')
    parser.add_argument('--device', help=f"in place of the run's: auto, cpu, cuda, or {FAKE}")
    parser.add_argument('--gpu', default='h200', help=f'whose times {FAKE} models: {", ".join(CARDS)}')
    return parser


def measure(arguments: argparse.Namespace) -> Figures:
    """Take the steps of one stage.

    Raises:
        CheckpointError: the architecture or the tokenizer cannot be read.
        ConfigError: a setting is wrong.
    """
    config = read_run(arguments.config, arguments.settings)
    stage = config.stages[arguments.stage]
    architecture = resolve_path(arguments.architecture or config.start.checkpoint)
    words = arguments.tokenizer or architecture
    network = build_empty(with_tokens_of(words, read_config(architecture, resolve_sam3(architecture))))
    preprocessor = read_preprocessor(words, resolve_sam3(architecture), network.config.qwen.image_token_id)
    size_wh = tuple(int(side) for side in arguments.picture.split('x'))
    count = arguments.micro_batch or stage.micro_batch
    batch = made_batch(network, preprocessor, stage, size_wh, count, arguments.phrases)
    chosen = arguments.device or config.device
    if chosen == FAKE:
        figures = record_step(network, config, stage, batch, arguments.gpu)
    else:
        figures = time_stage(network, config, stage, batch, parse_device(chosen), arguments)
    about: Figures = {'picture': arguments.picture, 'micro_batch': count, 'phrases_a_picture': arguments.phrases}
    return {'device': figures.pop('device'), **about, **figures}


def time_stage(
    network: InstructSAM,
    config: TrainConfig,
    stage: StageConfig,
    batch: Batch,
    device: torch.device,
    arguments: argparse.Namespace,
) -> Figures:
    """Time steps on a device that is there; kernels and host waits are counted where it is a GPU."""
    step = make_step(network, config, stage, batch, device)
    with count_arithmetic() as counter:
        step()
    seconds = time_steps(step, arguments.steps, device)
    launches = count_launches(step) if device.type == 'cuda' else None
    median, count = statistics.median(seconds), len(batch.sources)
    tflops = counter.get_total_flops() / median / 1e12
    return {
        'device': describe_device(device),
        'seconds_p50': median,
        'seconds_max': max(seconds),
        'images_per_s': count / median,
        'tflop_a_step': counter.get_total_flops() / 1e12,
        'tflop_per_s': tflops,
        'share_of_peak': tflops / arguments.peak_tflops if arguments.peak_tflops else None,
        'peak_memory_gib': peak_memory_gib(),
        **report_launches(launches, count),
    }


def record_step(network: InstructSAM, config: TrainConfig, stage: StageConfig, batch: Batch, gpu: str) -> Figures:
    """Take steps on a GPU that is not there; times are those of a model.

    Raises:
        ConfigError: there is no such card.
    """
    card = get_card(gpu)
    with FakeCuda() as cuda:
        step = make_step(network, config, stage, batch, CUDA)
        step()  # the first one allocates the optimizer's moments
        with cuda.recording() as recording:
            step()
    modeled, count = model_time(recording, card), len(batch.sources)
    return {
        'device': f'none: a model of {card.title}, nothing was measured',
        'modeled_ms': modeled.ms,
        'modeled_busy_ms': modeled.busy_ms,
        'modeled_ms_an_image': modeled.ms / count,
        'tflop_a_step': recording.flops / 1e12,
        'traffic_gb_a_step': recording.bytes / 1e9,
        'peak_memory_gib': recording.peak_bytes / 2**30,
        **report_launches(Launches(recording.launches, len(recording.host_waits)), count),
        **{f'wait_{number}': str(op) for number, op in enumerate(recording.host_waits, 1)},
    }


def report_launches(launches: Launches | None, count: int) -> Figures:
    """Kernels and host waits of a step of so many images; None where nobody counted."""
    return {
        'kernels_a_step': launches.kernels if launches else None,
        'kernels_an_image': launches.kernels / count if launches else None,
        'host_waits_a_step': launches.host_waits if launches else None,
    }


def made_batch(
    network: InstructSAM,
    preprocessor: Preprocessor,
    stage: StageConfig,
    size_wh: tuple[int, ...],
    count: int,
    phrases: int,
) -> Batch:
    """Pictures of noise, each with so many phrases of `INSTANCES` squares."""
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    generator = np.random.default_rng(0)
    grid = network.mask_grid
    masks = torch.zeros(INSTANCES, *grid, dtype=torch.float16)
    masks[0, : grid[0] // 3, : grid[1] // 3] = masks[1, grid[0] // 2 :, grid[1] // 2 :] = 1
    turns = tuple(Turn('Segment the box.', (Span('box'),)) for _ in range(phrases))
    examples: list[Example] = []
    for _ in range(count):
        frame = Frame(generator.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8))
        blank = builder.encode(frame, turns, 'made')
        examples.append(Example(blank.pixels, blank.encoding, (PhraseTarget(masks),) * phrases, 'made', grid))
    config: ModelConfig = network.config
    return collate(examples, config)


def make_step(
    network: InstructSAM, config: TrainConfig, stage: StageConfig, batch: Batch, device: torch.device
) -> Callable[[], object]:
    """One optimizer step of the stage's network, with plausible random weights and adapters in place."""
    if stage.part in SAM3_PARTS:
        network.config = replace(network.config, variant=SAM3_ALONE)
    fill_randomly(network, device, torch.float32)
    choose_trainable(network.train(), stage.rates, stage.lora)
    if stage.part == 'places':
        freeze_detector(network)
    prepare_network(network, config, stage, device, keep=False)
    run = start_alone(network, stage, bfloat16=config.precision == 'bfloat16')
    pinned = batch.pin_memory() if device.type == 'cuda' else batch
    return lambda: take_step(run, [pinned])


def time_steps(step: Callable[[], object], count: int, device: torch.device) -> list[float]:
    """Seconds of each of `count` steps, after a warm-up."""
    seconds = []
    for number in track(range(WARM_UP + count), description='steps'):
        if device.type == 'cuda':
            torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        if device.type == 'cuda':
            torch.cuda.synchronize()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - started)
    return seconds


if __name__ == '__main__':
    sys.exit(main())
