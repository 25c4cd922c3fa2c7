"""Latency as a function of image size, phrases, queries and cameras: one setting is varied at a time."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import torch._dynamo.utils

from instructsam_model.bench.scenarios import Bench
from instructsam_model.datatypes import Instruction, Segmenter

SETTINGS: dict[str, tuple[Any, ...]] = {
    'size': ('320x240', '640x480', '1280x720'),
    'phrases': (1, 2, 4),
    'phrase_tokens': (3, 6, 12),
    'queries': (5, 10, 20),
    'cameras': (1, 2, 4),
}
VALUES = tuple((setting, value) for setting, values in SETTINGS.items() for value in values)
SCENARIOS = ('cold', 'warm', 'steady', 'same frame')
INSTRUCTION_WORDS = (1, 2, 5, 10, 20, 40, 60)


def sweep(arguments: argparse.Namespace, open_bench: Callable[[argparse.Namespace], Bench]) -> Iterator[dict[str, Any]]:
    """Yield the median latency of each scenario for each value of each setting, ms.

    Args:
        arguments: of the command line.
        open_bench: makes the benchmark for changed arguments.
    """
    for setting, value in VALUES:
        changed = argparse.Namespace(**{**vars(arguments), setting: value})
        timings = open_bench(changed).run(arguments.repeats)
        # Scenarios about the same frame do not run with several cameras.
        medians = {name: round(1e3 * timings[name].percentile(50), 2) for name in SCENARIOS if name in timings}
        yield {'setting': setting, 'value': value, 'p50_ms': medians}


def count_compilations(bench: Bench, segmenter: Segmenter) -> int:
    """Count the graphs that are compiled for instructions of 1 to 60 words after a warm-up."""
    segmenter.segment(bench.new_frame(), Instruction('warm up'))
    # Counters of torch.compile are those of the whole process.
    before = _compiled()
    for words in INSTRUCTION_WORDS:
        segmenter.segment(bench.new_frame(), Instruction(' '.join(['red'] * words)))
    return _compiled() - before


def _compiled() -> int:
    return sum(torch._dynamo.utils.counters['frames'].values())
