"""instructsam-bench: latency of a segmenter in several scenarios, and of each stage."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from instructsam_model.bench.arguments import FAKE, check_arguments
from instructsam_model.bench.measured_tables import render_measured
from instructsam_model.bench.modeled_tables import render_modeled
from instructsam_model.bench.profiling import profile_scenario
from instructsam_model.bench.roofline import describe_device, peak_tflop_per_s
from instructsam_model.bench.scenarios import NAIVE, Bench, Timing
from instructsam_model.bench.subject import Subject, open_subject
from instructsam_model.bench.sweep import VALUES, count_compilations, sweep
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.runtime.memory import peak_memory_gib


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 on success, 2 on errors."""
    try:
        result = model(arguments) if arguments.device == FAKE else measure(arguments)
    except (CheckpointError, ConfigError) as error:
        print(f'instructsam-bench: error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    console = Console()
    # Tables for the user, then one line of JSON for programs.
    for part in render_modeled(result) if result.get('modeled') else render_measured(result):
        console.print(part)
    line = json.dumps(result)
    if arguments.out:
        with write_atomically(arguments.out) as draft:
            draft.write_text(line + '\n')
    print(line)
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that the command line asks for.

    Raises:
        CheckpointError: the checkpoint or the architecture cannot be read.
        ConfigError: an argument is out of range.
    """
    check_arguments(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # Read first: a wrong path must not be found after minutes of measuring.
    modeled = read_modeled(arguments.modeled) if arguments.modeled else {}
    subject = open_subject(arguments)
    bench = subject.make_bench(arguments)
    more: dict[str, Any] = {}
    # Accuracy first, because the latency of wrong results is of no use.
    if arguments.check:
        more['check'] = subject.hooks.check_accuracy(bench.new_frame(), bench.new_instruction())
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('measuring', total=None)
        timings = bench.run(arguments.repeats, lambda: progress.advance(task))
        peak = peak_tflop_per_s(subject.device, subject.hooks.dtype)
        # FLOPs inside captured graphs are counted by the model only.
        for name, timing in timings.items():
            timing.tflop = max(timing.tflop, modeled.get(name, {}).get('tflop', 0.0))
        more |= measure_more(arguments, subject, bench, progress)
    return {
        'device': describe_device(subject.device),
        'threads': torch.get_num_threads(),
        'model': str(arguments.architecture or arguments.checkpoint),
        **subject.hooks.describe(),
        'size': arguments.size,
        **subject.options,
        'phrases': arguments.phrases,
        'phrase_tokens': arguments.phrase_tokens,
        'cameras': arguments.cameras,
        'repeats': arguments.repeats,
        'peak_memory_gib': round(peak_memory_gib(subject.device), 3),
        'peak_tflop_per_s': round(peak, 4),
        'scenarios': {
            name: {**describe(timing, timings.get(NAIVE), peak), 'modeled_ms': modeled.get(name, {}).get('modeled_ms')}
            for name, timing in timings.items()
        },
        **more,
    }


def measure_more(arguments: argparse.Namespace, subject: Subject, bench: Bench, progress: Progress) -> dict[str, Any]:
    """Measure what further options ask for: profile, sweep and experiments."""
    more: dict[str, Any] = {}
    # `warm` is what a continuous query runs for each image.
    if arguments.profile:
        more['profile'] = profile_scenario(bench, 'warm', subject.device)
    if arguments.sweep:
        more['compilations'] = count_compilations(bench, subject.segmenter)
        swept = sweep(arguments, lambda changed: open_subject(changed).make_bench(changed))
        more['sweep'] = list(progress.track(swept, len(VALUES), description='sweep'))
    if arguments.experiments:
        more['experiments'] = list(subject.hooks.run_experiments(bench.new_frame, arguments.repeats))
    return more


def model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Record the scenarios on fake CUDA and model their time.

    Raises:
        CheckpointError: the architecture cannot be read.
        ConfigError: an argument is out of range, or asks for a measurement.
    """
    from instructsam_model.bench.instructsam.modeled import model_scenarios

    # Fake tensors have no values, and fake kernels take no time.
    for option in ('check', 'profile', 'sweep', 'experiments'):
        if getattr(arguments, option):
            raise ConfigError(f'--{option}: expected a real device, got --device {FAKE}')
    check_arguments(arguments)
    return model_scenarios(arguments)


def read_modeled(file: Path) -> dict[str, Any]:
    """Read the scenarios of a file written with `--device fake-cuda --out`.

    Raises:
        ConfigError: it is not such a file.
    """
    try:
        scenarios: dict[str, Any] = json.loads(file.read_text())['scenarios']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'--modeled: expected a file of --device {FAKE} --out, got {file}: {error}') from error
    return scenarios


def describe(timing: Timing, naive: Timing | None, peak: float) -> dict[str, Any]:
    """Return latency, arithmetic, and speed-up over naive inference of one scenario.

    Args:
        timing: of the scenario.
        naive: of naive inference, if it was measured.
        peak: peak speed of the device, TFLOP/s; `roofline_ms` is the time of the arithmetic at that speed.
    """
    p50 = timing.percentile(50)
    return {
        'p50_ms': round(1e3 * p50, 2),
        'p95_ms': round(1e3 * timing.percentile(95), 2),
        'p99_ms': round(1e3 * timing.percentile(99), 2),
        'tflop': round(timing.tflop, 5),
        'tflop_per_s': round(timing.tflop / p50, 4),
        'roofline_ms': round(1e3 * timing.tflop / peak, 2),
        'naive_ratio': round(naive.percentile(50) / p50, 2) if naive else None,
        'stages_ms': {stage: round(1e3 * seconds, 2) for stage, seconds in timing.stages.items()},
    }
