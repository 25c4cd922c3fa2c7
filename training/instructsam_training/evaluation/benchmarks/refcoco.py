"""RefCOCO, RefCOCO+ and RefCOCOg: one instance for each name. The paper of InstructSAM reports no numbers on them.

That of SAM3-I reports RefCOCO, on a split that it does not name, with the best mask of each answer (`--keep-best`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.refer import read_refer
from instructsam_training.evaluation.benchmark import EMPTY_IS_WRONG, Benchmark
from instructsam_training.evaluation.prompts import can_you_segment
from instructsam_training.evaluation.published import ALL, SAM3I_V4, PublishedResult
from instructsam_training.evaluation.query import Query, queries_of

METRICS = ('cIoU', 'mIoU', 'Pr@0.5', 'Pr@0.6', 'Pr@0.7', 'Pr@0.8', 'Pr@0.9', 'box Acc@0.5')

PUBLISHED = {'val': (PublishedResult('SAM3-I', SAM3I_V4, {ALL: {'mIoU': 76.3, 'Pr@0.5': 85.5}}),)}


def read_queries(
    root: Path, split: str, report: SkipReport, images: Path | None, *, name: str, split_by: str
) -> Iterator[Query]:
    """Read the release; `split_by` names one of the ways that its authors split the data set."""
    return queries_of(read_refer(root, split, report, images, name=name, split_by=split_by))


def _benchmark(
    name: str, split_by: str, *splits: str, published: Mapping[str, tuple[PublishedResult, ...]] | None = None
) -> Benchmark:
    read = partial(read_queries, name=name, split_by=split_by)
    return Benchmark(name, read, splits, can_you_segment, METRICS, rule=EMPTY_IS_WRONG, published=published or {})


BENCHMARKS = (
    _benchmark('refcoco', 'unc', 'val', 'testA', 'testB', published=PUBLISHED),
    _benchmark('refcoco+', 'unc', 'val', 'testA', 'testB'),
    _benchmark('refcocog', 'umd', 'val', 'test'),
)
