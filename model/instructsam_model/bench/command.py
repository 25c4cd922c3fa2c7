"""instructsam-bench: how long an answer takes, in each situation, and where the time goes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from instructsam_model.backend_arguments import add_backend_arguments, backend_arguments
from instructsam_model.bench.check import check_against_cpu
from instructsam_model.bench.experiments import TRIALS, try_all
from instructsam_model.bench.measured_tables import print_measured
from instructsam_model.bench.modeled import model_answers
from instructsam_model.bench.modeled_tables import print_modeled
from instructsam_model.bench.options import read_options, recorded_options
from instructsam_model.bench.profiling import profile_answer
from instructsam_model.bench.roofline import describe_device, peak_tflop_per_s
from instructsam_model.bench.scenarios import NAIVE, Bench, Timing
from instructsam_model.bench.sweep import VALUES, count_compilations, sweep
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.fake_cuda.cards import CARDS
from instructsam_model.instructsam.backend import BACKEND, load_instructsam
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.random_weights import PHRASE, random_segmenter, scripted_phrases
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.device import parse_device
from instructsam_model.runtime.memory import peak_memory_gib
from instructsam_model.runtime.precision import DTYPES, resolve_dtype
from instructsam_model.runtime.quantization import count_bytes
from instructsam_model.weights import bundled
from instructsam_model.weights.hub import read_json

FAKE = 'fake-cuda'
REUSE: dict[str, Any] = {'speculative_decoding': True, 'max_cached_frames': 1000}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when it was measured, 2 when it cannot be."""
    arguments = build_parser().parse_args(argv)
    try:
        result = model(arguments) if arguments.device == FAKE else measure(arguments)
    except (CheckpointError, ConfigError) as error:
        print(f'instructsam-bench: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    console = Console()
    for part in print_modeled(result) if result.get('modeled') else print_measured(result):
        console.print(part)
    line = json.dumps(result)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(line + '\n')
    print(line)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='instructsam-bench', description=f'{__doc__} --device {FAKE}: no GPU, a model of one.'
    )
    add_backend_arguments(parser)
    parser.add_argument(
        '--architecture', type=Path, help='folder with a config.json: random weights that write one phrase instead'
    )
    parser.add_argument(
        '--tokenizer', type=Path, default=bundled.FOLDER, help='checkpoint that an architecture takes its words from'
    )
    parser.add_argument('--gpu', default='h200', choices=list(CARDS), help='to model (default: %(default)s)')
    parser.add_argument('--size', default='640x480', help='of the frames, width x height (default: %(default)s)')
    parser.add_argument('--phrase-tokens', type=int, default=6, help='of an architecture (default: %(default)s)')
    parser.add_argument('--phrases', type=int, default=1, help='likewise: so many in an answer (default: %(default)s)')
    parser.add_argument('--queries', type=int, help='likewise: K')
    parser.add_argument(
        '--cameras', type=int, default=1, help='that take turns: an answer is one about each (default: %(default)s)'
    )
    parser.add_argument('--repeats', type=int, default=10, help='rounds (default: %(default)s)')
    parser.add_argument('--compare-naive', action='store_true', help='also answer the straightforward way')
    parser.add_argument('--check', action='store_true', help='before: is an answer that of the CPU in float32?')
    parser.add_argument('--profile', action='store_true', help='also: what takes longest in a warm answer')
    parser.add_argument('--sweep', action='store_true', help='also: how the time grows, and what is compiled meanwhile')
    parser.add_argument('--trials', action='store_true', help='also: what else might be faster, tried beside it')
    parser.add_argument('--modeled', type=Path, help=f'what {FAKE} wrote for the same arguments, to stand beside')
    parser.add_argument('--out', type=Path, help='file for the last line, for instructsam_model.bench.report')
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time what the command line asks for.

    Raises:
        CheckpointError: the checkpoint or the architecture cannot be read.
        ConfigError: an argument is out of range.
    """
    check_arguments(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    beside = read_modeled(arguments.modeled) if arguments.modeled else {}
    segmenter = open_segmenter(arguments)
    bench = open_bench(arguments, segmenter, compare_naive=arguments.compare_naive)
    more: dict[str, Any] = {}
    if arguments.check:  # first: what is wrong need not be fast
        more['check'] = check_against_cpu(segmenter, bench.new_frame(), bench.new_instruction())
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('answering', total=None)
        timings = bench.run(arguments.repeats, lambda: progress.advance(task))
        device = segmenter.network.device
        peak = peak_tflop_per_s(device, segmenter.network.dtype)
        for name, timing in timings.items():  # torch does not see into captured graphs
            timing.tflop = max(timing.tflop, beside.get(name, {}).get('tflop', 0.0))
        more |= measure_more(arguments, segmenter, bench, progress)
    return {
        'device': describe_device(device),
        'threads': torch.get_num_threads(),
        'model': str(arguments.architecture or arguments.checkpoint or 'embedded'),
        'parameters': sum(parameter.numel() for parameter in segmenter.network.parameters()),
        'weights_gib': round(count_bytes(segmenter.network) / 2**30, 3),
        'dtype': str(segmenter.network.dtype).removeprefix('torch.'),
        'size': arguments.size,
        **recorded_options(arguments),
        'phrases': arguments.phrases,
        'phrase_tokens': arguments.phrase_tokens,
        'queries': segmenter.network.config.num_queries,
        'cameras': arguments.cameras,
        'repeats': arguments.repeats,
        'peak_memory_gib': round(peak_memory_gib(device), 3),
        'peak_tflop_per_s': round(peak, 4),
        'scenarios': {
            name: {**describe(timing, timings.get(NAIVE), peak), 'modeled_ms': beside.get(name, {}).get('modeled_ms')}
            for name, timing in timings.items()
        },
        **more,
    }


def check_arguments(arguments: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError: an argument is out of range.
    """
    if arguments.sweep and arguments.architecture is None:
        raise ConfigError('--sweep: expected --architecture too; a checkpoint decides its phrases and queries itself')
    for option in ('repeats', 'cameras'):
        if (number := getattr(arguments, option)) < 1:
            raise ConfigError(f'--{option}: expected at least 1, got {number}')
    parse_size(arguments.size)


def measure_more(
    arguments: argparse.Namespace, segmenter: InstructSAMSegmenter, bench: Bench, progress: Progress
) -> dict[str, Any]:
    """What is asked for besides the time of answers."""
    more: dict[str, Any] = {}
    if arguments.profile:
        more['profile'] = profile_answer(bench, 'warm', segmenter.network.device)
    if arguments.sweep:
        more['compilations'] = count_compilations(bench, segmenter)
        swept = sweep(arguments, lambda changed: open_bench(changed, open_segmenter(changed)))
        more['sweep'] = list(progress.track(swept, len(VALUES), description='sweep'))
    if arguments.trials:
        tried = try_all(segmenter, bench, arguments.repeats)
        more['trials'] = list(progress.track(tried, len(TRIALS), description='trials'))
    return more


def model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Record on fake CUDA what the command line asks for, and model its time.

    Raises:
        CheckpointError: the architecture cannot be read.
        ConfigError: an argument is out of range, or asks for something to be measured.
    """
    for option in ('check', 'profile', 'sweep', 'trials'):
        if getattr(arguments, option):
            raise ConfigError(f'--{option}: expected a device to measure on, got --device {FAKE}')
    check_arguments(arguments)
    return model_answers(arguments, open_segmenter, open_bench)


def read_modeled(file: Path) -> dict[str, Any]:
    """The scenarios of a file that `--device fake-cuda --out` wrote.

    Raises:
        ConfigError: it is none.
    """
    try:
        scenarios: dict[str, Any] = json.loads(file.read_text())['scenarios']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'--modeled: expected a file of --device {FAKE} --out, got {file}: {error}') from error
    return scenarios


def open_bench(arguments: argparse.Namespace, segmenter: InstructSAMSegmenter, *, compare_naive: bool = False) -> Bench:
    """What is measured: what an architecture answers is what it is asked for."""
    phrase = PHRASE
    if arguments.architecture is not None:
        phrase = scripted_phrases(segmenter.preprocessor, arguments.phrase_tokens, arguments.phrases)
    size_wh = parse_size(arguments.size)
    return Bench(segmenter, size_wh, cameras=arguments.cameras, compare_naive=compare_naive, phrase=phrase)


def open_segmenter(
    arguments: argparse.Namespace, make_engine: Callable[[InstructSAM], Engine] | None = None
) -> InstructSAMSegmenter:
    """The segmenter to measure, which reuses its answers; with the engine that is named, or made."""
    if arguments.architecture is None:
        options = {f'instructsam.{name}': value for name, value in REUSE.items()} | backend_arguments(arguments)
        return load_instructsam(**options | {'backend': BACKEND.name, 'threads': torch.get_num_threads()})
    device = parse_device(arguments.device)
    return random_segmenter(
        arguments.architecture,
        arguments.tokenizer,
        device=device,
        dtype=resolve_dtype(arguments.dtype, device) or stored_dtype(arguments.architecture),
        phrase_tokens=arguments.phrase_tokens,
        phrases=arguments.phrases,
        num_queries=arguments.queries,
        make_engine=make_engine,
        options=replace(read_options(arguments), **REUSE),
    )


def stored_dtype(architecture: Path) -> torch.dtype:
    """The precision that an architecture's `config.json` names, or float32."""
    return DTYPES.get(str(read_json(architecture / 'config.json').get('dtype')), torch.float32)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of `640x480`.

    Raises:
        ConfigError: it is something else.
    """
    width, _, height = text.partition('x')
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f'--size: expected width x height such as 640x480, got {text!r}')
    return int(width), int(height)


def describe(timing: Timing, naive: Timing | None, peak: float) -> dict[str, Any]:
    """Milliseconds, arithmetic, and how many times as fast as the straightforward way, of one scenario.

    Args:
        timing: of the scenario.
        naive: of the straightforward way, if it was measured.
        peak: TFLOP/s of the device at its best, for the time that the arithmetic would take then (`floor_ms`).
    """
    p50 = timing.percentile(50)
    return {
        'p50_ms': round(1e3 * p50, 2),
        'p95_ms': round(1e3 * timing.percentile(95), 2),
        'p99_ms': round(1e3 * timing.percentile(99), 2),
        'tflop': round(timing.tflop, 5),
        'tflop_per_s': round(timing.tflop / p50, 4),
        'floor_ms': round(1e3 * timing.tflop / peak, 2),
        'naive_ratio': round(naive.percentile(50) / p50, 2) if naive else None,
        'stages_ms': {stage: round(1e3 * seconds, 2) for stage, seconds in timing.stages.items()},
    }


if __name__ == '__main__':
    sys.exit(main())
