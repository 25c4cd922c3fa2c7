"""Runs of training into which a NaN is injected: in a gradient, an activation, the optimizer or a checkpoint file.

    python -m tests.support.nonfinite_faults --runs 50

Each run of the small network gets one fault, at a random step and place, and is then started again without it, as a
user would. Afterwards everything that it wrote is read: no file may be dead, and the run has either recovered, so that
its last weights segment an image, or ended with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import nn

from instructsam_model import CheckpointError, Frame, Instruction, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_training.config.config_file import read_config
from instructsam_training.engine import loop
from instructsam_training.engine.metrics_logger import read_lines
from instructsam_training.engine.signals import InterruptedRunError
from instructsam_training.engine.state import find_states
from instructsam_training.engine.step import Run
from tests.support.small_run import GOLDEN, write_run

PLACES = ('gradient', 'activation', 'optimizer state', 'checkpoint file')
STEPS = 5
SETTINGS = [f'stages.0.steps={STEPS}', 'stages.0.global_batch=2', 'stages.0.micro_batch=1', 'stages.0.save_every=1']
DAMAGES = ('NaN', 'infinity', 'truncated', 'removed', 'not JSON')
"""Of a checkpoint file."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        place: of the fault.
        step: of the fault.
        detail: the parameter, module or file.
        first: end of the run with the fault.
        second: end of the same command started again; empty if the first run was complete.
        skipped: number of steps that were skipped.
        dead: files on the disk with values that are not finite, other than the one that the fault made.
    """

    place: str
    step: int
    detail: str
    first: str
    second: str
    skipped: int
    dead: tuple[str, ...]

    @property
    def ending(self) -> str:
        """`recovered`, `clear error` if there was nothing to recover from, or `WRONG`."""
        if self.dead:
            return 'WRONG'
        if 'complete' in (self.first, self.second):
            return 'recovered'
        return 'clear error' if 'no checkpoint of the run is good: remove' in self.second else 'WRONG'


def run_with_fault(folder: Path, place: str, step: int, generator: random.Random) -> Outcome:
    """Train with a fault, and again without it if that run ended early."""
    file = write_run(folder)
    detail: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, 'draw_curves', lambda *_: None)  # takes as long as the steps
        inject(patch, place, step, generator, detail)
        first = train(file)
    damaged = damage(folder, generator, detail) if place == 'checkpoint file' else None
    second = '' if first == 'complete' else train(file)
    if 'complete' in (first, second):
        check_usable(folder / 'run' / 'one' / 'merged')
    lines = read_lines(folder / 'run' / 'one' / 'metrics.jsonl')
    skipped = sum('skipped_samples' in line for line in lines)
    return Outcome(place, step, ''.join(detail), first, second, skipped, tuple(dead_files(folder, damaged)))


def train(file: Path) -> str:
    """Run the training; returns `complete`, or the error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            loop.train(read_config(file, SETTINGS))
    except (FloatingPointError, CheckpointError, InterruptedRunError) as error:
        return f'{type(error).__name__}: {error}'
    return 'complete'


def inject(patch: pytest.MonkeyPatch, place: str, step: int, generator: random.Random, detail: list[str]) -> None:
    """Arrange a fault in a step, or, for a checkpoint file, the end of the run after it; `detail` gets the place."""
    take_step = loop.take_step

    def faulty(run: Run, micro_batches: Sequence[Any]) -> Any:
        if run.done + 1 != step:
            return take_step(run, micro_batches)
        if place == 'checkpoint file':
            line, _ = take_step(run, micro_batches)
            return line, True  # as after SIGTERM
        with FAULTS[place](run, generator, detail):
            return take_step(run, micro_batches)

    patch.setattr(loop, 'take_step', faulty)


@contextlib.contextmanager
def in_gradient(run: Run, generator: random.Random, detail: list[str]) -> Iterator[None]:
    """Make one number of the gradient of one parameter NaN or infinite; the loss stays finite."""
    name, parameter = generator.choice([each for each in run.model.named_parameters() if each[1].requires_grad])
    detail.append(name)

    def poison(gradient: torch.Tensor) -> torch.Tensor:
        return poisoned(gradient, generator)

    handle = parameter.register_hook(poison)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def in_activation(run: Run, generator: random.Random, detail: list[str]) -> Iterator[None]:
    """Make one number of the output of one module NaN or infinite, once."""
    modules = [each for each in run.model.named_modules() if isinstance(each[1], nn.Linear | nn.LayerNorm | nn.Conv2d)]
    name, module = generator.choice(modules)
    detail.append(name)

    def poison(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        handle.remove()
        return poisoned(output, generator)

    handle = module.register_forward_hook(poison)
    yield
    handle.remove()


@contextlib.contextmanager
def in_optimizer(run: Run, generator: random.Random, detail: list[str]) -> Iterator[None]:
    """Make one number of a moment NaN or infinite."""
    moments = [
        (f'{index} {name}', value)
        for index, state in enumerate(run.optimizer.state.values())
        for name, value in state.items()
        if name.startswith('exp_avg')
    ]
    name, moment = generator.choice(moments)
    detail.append(name)
    moment.copy_(poisoned(moment, generator))
    yield


def poisoned(tensor: torch.Tensor, generator: random.Random) -> torch.Tensor:
    """Return a tensor with one number that is not finite."""
    changed = tensor.clone()
    changed.view(-1)[generator.randrange(changed.numel())] = generator.choice([math.nan, math.inf, -math.inf])
    return changed


FAULTS = {'gradient': in_gradient, 'activation': in_activation, 'optimizer state': in_optimizer}


def damage(folder: Path, generator: random.Random, detail: list[str]) -> Path:
    """Damage a file of the newest checkpoint of the run; returns it."""
    newest = find_states(folder / 'run' / 'one' / 'states')[-1]
    kind = generator.choice(DAMAGES)
    file = newest / (
        'state.json' if kind == 'not JSON' else generator.choice(['trainable', 'moments']) + '.safetensors'
    )
    detail.append(f'{file.name}: {kind}')
    if kind in ('NaN', 'infinity'):
        tensors = load_file(file)
        name = generator.choice(sorted(tensors))
        tensors[name].view(-1)[generator.randrange(tensors[name].numel())] = float(kind)
        save_file(tensors, file)
    elif kind == 'removed':
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: generator.randrange(1, file.stat().st_size)])
    return file


def dead_files(folder: Path, damaged: Path | None) -> Iterator[str]:
    """Return the files that the run wrote with values that are not finite."""
    for file in sorted(folder.rglob('*.safetensors')):
        if damaged is not None and file.name == damaged.name and file.parent.name.endswith(damaged.parent.name):
            continue
        if not all(torch.isfinite(tensor).all() for tensor in load_file(file).values() if tensor.is_floating_point()):
            yield str(file.relative_to(folder))


def check_usable(checkpoint: Path) -> None:
    """Load the weights of a run and segment an image with them."""
    segmenter = load_segmenter(checkpoint, device='cpu', dtype='float32')
    segmenter.segment(Frame(read_image(GOLDEN / 'images' / '000.png')), Instruction("Please segment 'red ball'."))


def run_all(runs: int, seed: int = 0) -> Iterator[Outcome]:
    """Run the places in turn, with steps and details by the seed."""
    for number in range(runs):
        generator = random.Random(seed * 1000 + number)
        with tempfile.TemporaryDirectory() as folder:
            place = PLACES[number % len(PLACES)]
            # Before its first step, the optimizer has no state.
            yield run_with_fault(Path(folder), place, generator.randint(1 + (place == PLACES[2]), STEPS), generator)


def main() -> None:
    """Print a row for each run, then their sums."""
    parser = argparse.ArgumentParser(description='Inject NaNs into runs of training.')
    parser.add_argument('--runs', type=int, default=50, help='number of runs')
    parser.add_argument('--seed', type=int, default=0, help='of steps and places')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=200)
    table = Table(
        'place', 'step', 'detail', 'run with the fault', 'same command again', 'skipped', 'dead files', 'ending'
    )
    endings: Counter[str] = Counter()
    for outcome in run_all(arguments.runs, arguments.seed):
        cells = (outcome.place, outcome.step, outcome.detail, outcome.first[:70], outcome.second[:70], outcome.skipped)
        table.add_row(*map(str, cells), str(len(outcome.dead)), outcome.ending)
        print(*cells, len(outcome.dead), outcome.ending, sep=' | ', flush=True)
        endings[f'{outcome.place}: {outcome.ending}'] += 1
    console.print(table)
    console.print(dict(sorted(endings.items())))


if __name__ == '__main__':
    main()
