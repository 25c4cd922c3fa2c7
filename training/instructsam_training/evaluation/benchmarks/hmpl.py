"""HMPL-Instruct (PACO-LVIS-Instruct before): objects and parts by instructions of three levels (SAM3-I, v4).

Its three parts differ in how many of the instances of a class an instruction means: the only one, some, or all. The
public evaluation reads the first by its protocol 1to1, the others by multi_inst. Metrics are percent of gIoU and P@50.
"""

from __future__ import annotations

from collections.abc import Mapping

from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.published import ALL, SAM3I_V4, PublishedResult
from instructsam_training.evaluation.sam3i.level_benchmark import level_benchmark
from instructsam_training.evaluation.sam3i.protocols import Protocol


def _published(simple: tuple[float, float], complex_: tuple[float, float]) -> Mapping[str, tuple[PublishedResult, ...]]:
    return {
        level: (PublishedResult('SAM3-I', SAM3I_V4, {ALL: {'gIoU': giou, 'P@50': precision}}),)
        for level, (giou, precision) in {'simple': simple, 'complex': complex_}.items()
    }


def _benchmark(part: str, protocol: Protocol, simple: tuple[float, float], complex_: tuple[float, float]) -> Benchmark:
    return level_benchmark(
        f'hmpl_{part}', protocol, folder=f'HMPL-Instruct_{part}', published=_published(simple, complex_)
    )


BENCHMARKS = (
    _benchmark('1to1', '1to1', (60.8, 66.7), (48.1, 49.6)),
    _benchmark('1toN', 'multi_inst', (48.9, 50.0), (39.9, 39.5)),
    _benchmark('1toAll', 'multi_inst', (60.9, 67.8), (54.7, 58.7)),
)
