"""Makes benchmarks of SAM3-I's annotation files: a split is a level, and a query an instruction of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_training.data.sample import LevelName, SkipReport
from instructsam_training.datasets.io.file_kind import COCO
from instructsam_training.datasets.io.sam3i_file import LEVELS
from instructsam_training.evaluation.benchmark import EMPTY_IS_WRONG, Benchmark
from instructsam_training.evaluation.prompts import unchanged
from instructsam_training.evaluation.published import PublishedResult
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.sam3i.level_queries import FILE, find_file, read_level_queries
from instructsam_training.evaluation.sam3i.protocols import Protocol
from instructsam_training.evaluation.sam3i.public_numbers import PublicEvaluation

METRICS = ('gIoU', 'P@50', 'cIoU', 'gIoU, empty is right', 'N-acc', 'T-acc')
SPLITS: tuple[LevelName, ...] = ('simple', 'complex', 'concept')


def read_queries(
    root: Path, split: str, report: SkipReport, images: Path | None, *, folder: str = ''
) -> Iterator[Query]:
    """Read `sam3i_val.json` of the folder, or of a folder in it, or the file itself."""
    level: LevelName = split  # type: ignore[assignment]  # checked by `load_queries`
    yield from read_level_queries(find_file(root, folder), level, report, images)


def level_benchmark(
    name: str,
    protocol: Protocol,
    *,
    folder: str = '',
    splits: tuple[str, ...] = SPLITS,
    metrics: tuple[str, ...] = METRICS,
    published: Mapping[str, tuple[PublishedResult, ...]] | None = None,
) -> Benchmark:
    """Return a benchmark of annotation files of SAM3-I.

    Args:
        name: of the benchmark.
        protocol: of the public evaluation.
        folder: that the released data has for it.
        splits: levels.
        metrics: the most important first.
        published: numbers by level.
    """
    options: Mapping[str, Mapping[str, Any]] = {level: {'sam3i.level': level} for level in LEVELS}
    return Benchmark(
        name,
        partial(read_queries, folder=folder),
        splits,
        unchanged,
        metrics,
        min_score=0.5,
        rule=EMPTY_IS_WRONG,  # as in the public evaluation, beside which METRICS has the other rule
        by_target_count=True,
        has_instances=True,
        published=published or {},
        files=(FILE,),
        kinds=(COCO,),  # with texts of three levels
        public=PublicEvaluation(protocol, partial(find_file, folder=folder)),
        backend_options=options,
    )
