"""`instructsam-bench --device fake-cuda`: what an answer would launch on a GPU, and how long a model says that takes.

The real code runs at full size on fake CUDA tensors (`instructsam_model.fake_cuda`); nothing is measured.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from instructsam_model.bench.options import read_options, recorded_options
from instructsam_model.bench.scenarios import NAIVE, Bench
from instructsam_model.errors import ConfigError
from instructsam_model.fake_cuda import FakeCuda, FakeGraphs, Recording
from instructsam_model.fake_cuda.cards import CARDS, Card, get_card
from instructsam_model.fake_cuda.compiler import FakeCompiler
from instructsam_model.fake_cuda.time_model import model_time, without_graphs
from instructsam_model.instructsam.engine.engine import Engine
from instructsam_model.instructsam.engine.static import StaticEngine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.compilation import run_eagerly
from instructsam_model.runtime.graphs import run_directly
from instructsam_model.runtime.quantization import count_bytes

WARM_UP = 1
"""Rounds before the one that is recorded: passes are captured, and what depends on the size of an image is computed."""
WAYS = ('eager', 'eager_graphs', 'inductor')
"""Every kernel launched by itself; the same in captured graphs; inductor's kernels in captured graphs."""


@dataclass(frozen=True)
class Scenario:
    """One answer, in the ways that it may run.

    Attributes:
        eager: as it was recorded, captured graphs as such.
        inductor: the same with inductor's kernels; equal to `eager` where nothing is compiled.
    """

    eager: Recording
    inductor: Recording

    def times_ms(self, card: Card) -> dict[str, float]:
        """What the model says of each of `WAYS`."""
        ways = (without_graphs(self.eager), self.eager, self.inductor)
        return {name: round(model_time(way, card).ms, 2) for name, way in zip(WAYS, ways, strict=True)}


class FakeEngines:
    """Makes engines that run on fake CUDA as `choose_engine` makes them for a GPU."""

    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self.compiler = FakeCompiler(cuda)
        self.graphs = FakeGraphs(cuda)
        self._is_compiled = name != 'eager'

    def open(self, network: InstructSAM) -> Engine:
        """The engine of a network."""
        if not self._is_compiled:
            return StaticEngine(network, capture=run_directly, compile_=run_eagerly)
        return StaticEngine(network, capture=self.graphs.capture, compile_=self.compiler)


def plausible(tensor: Tensor) -> Tensor:
    """What the host reads of a tensor that has no contents: whole numbers are 0, all else is 1."""
    whole = not tensor.dtype.is_floating_point and tensor.dtype != torch.bool
    return torch.full(tensor.shape, 0 if whole else 1, dtype=tensor.dtype)


def model_answers(
    arguments: argparse.Namespace,
    open_segmenter: Callable[..., InstructSAMSegmenter],
    open_bench: Callable[..., Bench],
) -> dict[str, Any]:
    """Record every scenario, and model its time.

    Args:
        arguments: of the command line.
        open_segmenter: makes the segmenter, given arguments and a maker of engines.
        open_bench: makes what asks, given arguments and the segmenter.

    Raises:
        ConfigError: there is no such card, or no architecture is given.
    """
    card = get_card(arguments.gpu)
    if arguments.architecture is None:
        raise ConfigError('--device fake-cuda: expected --architecture; a checkpoint has values, which are not needed')
    arguments = argparse.Namespace(**{**vars(arguments), 'device': 'cuda'})
    engine = read_options(arguments).engine
    with FakeCuda(plausible) as cuda:
        engines = FakeEngines(cuda, engine)
        segmenter = open_segmenter(arguments, engines.open)
        bench = open_bench(arguments, segmenter, compare_naive=arguments.compare_naive)
        recordings = record_round(cuda, bench)
        network = segmenter.network
        parameters, weights = sum(each.numel() for each in network.parameters()), count_bytes(network)
    compile_ = engines.compiler.compiled
    scenarios = {name: Scenario(each, compile_(each)) for name, each in recordings.items()}
    way = 'eager' if engine == 'eager' else 'inductor'
    return {
        'device': f'fake CUDA, modeled as {card.title}',
        'modeled': True,
        'gpu': arguments.gpu,
        'model': str(arguments.architecture),
        'parameters': parameters,
        'weights_gib': _gib(weights),
        'dtype': str(network.dtype).removeprefix('torch.'),
        'size': arguments.size,
        **recorded_options(arguments),
        'phrases': arguments.phrases,
        'phrase_tokens': arguments.phrase_tokens,
        'queries': network.config.num_queries,
        'peak_memory_gib': max(_gib(each.eager.peak_bytes) for each in scenarios.values()),
        'scenarios': {name: describe_scenario(each, card, way) for name, each in scenarios.items()},
        'cards': {
            name: {scenario: each.times_ms(other) for scenario, each in scenarios.items()}
            for name, other in CARDS.items()
        },
    }


def record_round(cuda: FakeCuda, bench: Bench) -> dict[str, Recording]:
    """One answer of each scenario, after a round that captures."""
    recordings: dict[str, Recording] = {}
    for number in range(WARM_UP + 1):
        for name, ask in bench.asks():
            if name == NAIVE and number < WARM_UP:
                continue  # it prepares nothing
            with cuda.recording() as recording:
                ask()
            recordings[name] = recording
    return recordings


def describe_scenario(scenario: Scenario, card: Card, way: str) -> dict[str, Any]:
    """What is counted and modeled of a scenario.

    Args:
        scenario: the answer.
        card: to model the time of.
        way: of `WAYS`, the engine's own.
    """
    eager = scenario.eager
    times = scenario.times_ms(card)
    own = {'eager': without_graphs(eager), 'inductor': scenario.inductor}[way]
    stage_times = model_time(own, card).stages_ms
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
        'modeled_ms': times[way],
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
