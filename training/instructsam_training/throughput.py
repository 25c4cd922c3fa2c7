r"""How fast a stage trains on this machine.

    python -m instructsam_training.throughput training/configs/tiny.yaml --steps 5
    python -m instructsam_training.throughput training/configs/stage1.yaml --picture 1280x960 --micro-batch 4 \
        --architecture training/configs/instructsam-2b --tokenizer tests/golden/checkpoint --peak-tflops 790

Made pictures and random weights, so nothing needs to be at hand. A step is forward, losses, backward and optimizer for
one micro-batch; reading data is not in it. Arithmetic is counted by torch in one step, matrix products alone; the share
of the peak is what they would take at `--peak-tflops`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from instructsam_model import Frame
from instructsam_model.bench.arithmetic import count_arithmetic, describe_device
from instructsam_model.checkpoint import build_empty, read_config, resolve_checkpoint, resolve_sam3
from instructsam_model.config import ModelConfig
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.network import InstructSAM
from instructsam_model.preprocess import Preprocessor, read_preprocessor
from instructsam_model.segmenter import parse_device
from instructsam_model.stand_in import fill_randomly, with_tokens_of
from instructsam_training.batch import Batch, Example, ExampleBuilder, collate
from instructsam_training.config import StageConfig
from instructsam_training.config_file import read_config as read_run
from instructsam_training.conversation import Span, Turn
from instructsam_training.journal import peak_memory_gib
from instructsam_training.loop import checkpoint_activations
from instructsam_training.losses import compute_losses, total_loss
from instructsam_training.processes import make_optimizer
from instructsam_training.targets import PhraseTarget
from instructsam_training.trainable import choose_trainable

PHRASES = 3
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
    parser = argparse.ArgumentParser(prog='python -m instructsam_training.throughput')
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
    parser.add_argument('--micro-batch', type=int, default=1)
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--peak-tflops', type=float, default=0.0, help='of the device in the precision of the run')
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, float | str | None]:
    """Time the steps of one stage.

    Raises:
        CheckpointError: the architecture or the tokenizer cannot be read.
        ConfigError: a setting is wrong.
    """
    config = read_run(arguments.config, arguments.settings)
    stage = config.stages[arguments.stage]
    device = parse_device(config.device)
    architecture = resolve_checkpoint(arguments.architecture or config.start.checkpoint)
    words = arguments.tokenizer or architecture
    network = random_network(
        with_tokens_of(words, read_config(architecture, resolve_sam3(architecture))), stage, device
    )
    preprocessor = read_preprocessor(words, resolve_sam3(architecture), network.config.qwen.image_token_id)
    size_wh = tuple(int(side) for side in arguments.picture.split('x'))
    batch = made_batch(network, preprocessor, stage, size_wh, arguments.micro_batch).to(device)
    step = make_step(network, stage, batch, config.precision == 'bfloat16')
    with count_arithmetic() as counter:
        step()
    seconds = time_steps(step, arguments.steps, device)
    median = statistics.median(seconds)
    tflops = counter.get_total_flops() / median / 1e12
    return {
        'device': describe_device(device),
        'picture': arguments.picture,
        'micro_batch': arguments.micro_batch,
        'phrases_a_picture': PHRASES,
        'seconds_p50': median,
        'seconds_max': max(seconds),
        'images_per_s': arguments.micro_batch / median,
        'tflop_a_step': counter.get_total_flops() / 1e12,
        'tflop_per_s': tflops,
        'share_of_peak': tflops / arguments.peak_tflops if arguments.peak_tflops else None,
        'peak_memory_gib': peak_memory_gib(),
    }


def random_network(config: ModelConfig, stage: StageConfig, device: torch.device) -> InstructSAM:
    """The stage's network with plausible random weights, adapters in place."""
    network = build_empty(config)
    fill_randomly(network, device, torch.float32)
    network.train()
    choose_trainable(network, stage.rates, stage.lora)
    if stage.gradient_checkpointing:
        checkpoint_activations(network)
    return network


def made_batch(
    network: InstructSAM, preprocessor: Preprocessor, stage: StageConfig, size_wh: tuple[int, ...], count: int
) -> Batch:
    """Pictures of noise, each with `PHRASES` phrases of `INSTANCES` squares."""
    builder = ExampleBuilder.for_training(preprocessor, network, stage.data)
    generator = np.random.default_rng(0)
    grid = network.mask_grid
    masks = torch.zeros(INSTANCES, *grid, dtype=torch.float16)
    masks[0, : grid[0] // 3, : grid[1] // 3] = masks[1, grid[0] // 2 :, grid[1] // 2 :] = 1
    turns = tuple(Turn('Segment the box.', (Span('box'),)) for _ in range(PHRASES))
    examples: list[Example] = []
    for _ in range(count):
        frame = Frame(generator.integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8))
        blank = builder.encode(frame, turns, 'made')
        examples.append(Example(blank.pixels, blank.encoding, (PhraseTarget(masks),) * PHRASES, 'made', grid))
    config: ModelConfig = network.config
    return collate(examples, config)


def make_step(network: InstructSAM, stage: StageConfig, batch: Batch, bfloat16: bool) -> Callable[[], None]:
    """One optimizer step."""
    optimizer = make_optimizer(network, stage, network.device)
    device = network.device.type

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            prediction = network(batch.inputs)
        terms = compute_losses(prediction, batch.answers, batch.targets, stage.losses)
        total_loss(terms, terms.counts, stage.losses).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def time_steps(step: Callable[[], None], count: int, device: torch.device) -> list[float]:
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
