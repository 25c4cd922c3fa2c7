"""`instructsam-bench --device fake-cuda`: kernels, host waits and memory of InstructSAM on a GPU, and modeled times.

The real code runs at full size on fake CUDA tensors (`instructsam_model.fake_cuda`); nothing is measured.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from typing import Any

from instructsam_model.bench.instructsam.fake_engines import FakeEngines, plausible_values
from instructsam_model.bench.instructsam.options import read_options
from instructsam_model.bench.instructsam.random_subject import open_random_subject
from instructsam_model.bench.scenarios import NAIVE, Bench
from instructsam_model.errors import ConfigError
from instructsam_model.fake_cuda import FakeCuda, Recording
from instructsam_model.fake_cuda.gpus import GPUS, GpuSpec, get_gpu
from instructsam_model.fake_cuda.time_model import model_time, without_graphs

WARM_UP_ROUNDS = 1
"""Rounds before the recorded one, in which passes are captured and values of the image size are computed."""
EXECUTIONS = ('eager', 'eager_graphs', 'inductor')
"""Kernels launched one by one; the same kernels in captured graphs; inductor's kernels in captured graphs."""


@dataclass(frozen=True)
class Scenario:
    """Recordings of one scenario.

    Attributes:
        eager: as recorded, with captured graphs.
        inductor: the same with inductor's kernels; equal to `eager` if nothing is compiled.
    """

    eager: Recording
    inductor: Recording

    def times_ms(self, gpu: GpuSpec) -> dict[str, float]:
        """Return the modeled time of each of `EXECUTIONS`, ms."""
        recordings = (without_graphs(self.eager), self.eager, self.inductor)
        return {name: round(model_time(each, gpu).ms, 2) for name, each in zip(EXECUTIONS, recordings, strict=True)}


def model_scenarios(arguments: argparse.Namespace) -> dict[str, Any]:
    """Record every scenario and model its time.

    Raises:
        CheckpointError: the architecture cannot be read.
        ConfigError: the GPU is unknown, or no architecture is given.
    """
    gpu = get_gpu(arguments.gpu)
    if arguments.architecture is None:
        raise ConfigError('--device fake-cuda: expected --architecture; the values of a checkpoint are not needed')
    # Inside of `FakeCuda`, this device is the fake one.
    arguments = argparse.Namespace(**{**vars(arguments), 'device': 'cuda'})
    engine = read_options(arguments).engine
    # 1. Record the scenarios on fake CUDA.
    with FakeCuda(plausible_values) as cuda:
        engines = FakeEngines(cuda, engine)
        subject = open_random_subject(arguments, engines.make)
        recordings = record_round(cuda, subject.make_bench(arguments))
        description = subject.hooks.describe()
    # 2. Replace compiled regions by inductor's kernels; this must happen outside of fake CUDA.
    compile_ = engines.compiler.compiled
    scenarios = {name: Scenario(each, compile_(each)) for name, each in recordings.items()}
    execution = 'eager' if engine == 'eager' else 'inductor'
    return {
        'device': f'fake CUDA, modeled as {gpu.title}',
        'modeled': True,
        'gpu': arguments.gpu,
        'model': str(arguments.architecture),
        **description,
        'size': arguments.size,
        **subject.options,
        'phrases': arguments.phrases,
        'phrase_tokens': arguments.phrase_tokens,
        'peak_memory_gib': max(_gib(each.eager.peak_bytes) for each in scenarios.values()),
        'scenarios': {name: describe_scenario(each, gpu, execution) for name, each in scenarios.items()},
        'gpus': {
            name: {scenario: each.times_ms(other) for scenario, each in scenarios.items()}
            for name, other in GPUS.items()
        },
    }


def record_round(cuda: FakeCuda, bench: Bench) -> dict[str, Recording]:
    """Record one round of scenarios after a round of warm-up."""
    recordings: dict[str, Recording] = {}
    for number in range(WARM_UP_ROUNDS + 1):
        for name, run in bench.requests():
            if name == NAIVE and number < WARM_UP_ROUNDS:
                continue  # naive inference needs no warm-up
            with cuda.recording() as recording:
                run()
            recordings[name] = recording
    return recordings


def describe_scenario(scenario: Scenario, gpu: GpuSpec, execution: str) -> dict[str, Any]:
    """Return the counts and the modeled times of a scenario.

    Args:
        scenario: its recordings.
        gpu: whose time is modeled.
        execution: that of the engine, one of `EXECUTIONS`.
    """
    eager = scenario.eager
    times = scenario.times_ms(gpu)
    own = {'eager': without_graphs(eager), 'inductor': scenario.inductor}[execution]
    stage_times = model_time(own, gpu).stages_ms
    # Waits at the same line are listed once, with their number.
    waits = Counter((op.name, op.where, op.stage) for op in eager.host_waits)
    return {
        'kernels': eager.kernels,
        'inductor_kernels': scenario.inductor.kernels,
        'launches': eager.launches,
        'host_waits': len(eager.host_waits),
        'tflop': round(eager.flops / 1e12, 4),
        'gbyte': round(eager.bytes / 1e9, 2),
        'inductor_gbyte': round(scenario.inductor.bytes / 1e9, 2),
        'peak_memory_gib': _gib(eager.peak_bytes),
        'modeled_ms': times[execution],
        **{f'modeled_{name}_ms': ms for name, ms in times.items()},
        'stages': {
            name: {
                'kernels': part.kernels,
                'launches': part.launches,
                'host_waits': len(part.host_waits),
                'tflop': round(part.flops / 1e12, 4),
                'gbyte': round(part.bytes / 1e9, 2),
                'peak_memory_gib': _gib(part.peak_bytes),
                'modeled_ms': round(stage_times.get(name, 0.0), 2),
            }
            for name, part in eager.by_stage().items()
        },
        'waits': [
            {'name': name, 'where': where, 'stage': stage, 'times': times}
            for (name, where, stage), times in waits.items()
        ],
    }


def _gib(size: int) -> float:
    return round(size / 2**30, 3)
