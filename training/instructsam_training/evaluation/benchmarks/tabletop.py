"""The simulated tabletop of this repository, in the format of Inst2Seg with a kind for each query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.inst2seg import read_inst2seg
from instructsam_training.datasets.io.file_kind import TABLETOP
from instructsam_training.datasets.io.files import find, load_list
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.prompts import as_in_training
from instructsam_training.evaluation.query import Query, queries_of


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read `inst2seg.json` of the folder, or a file of that format; the group of a query is its `kind`."""
    file = root if root.is_file() else find(root, 'inst2seg.json')
    # Samples have no field for the kind of a query, so it is looked up by record and text.
    kinds = {
        (str(index), entry.get('text')): str(entry.get('kind') or '')
        for index, record in enumerate(load_list(file))
        for entry in _annotations(record)
    }
    samples = read_inst2seg(file, split, report, images)
    return queries_of(samples, lambda sample, annotation: kinds.get((sample.id, annotation.text), ''))


def _annotations(record: Any) -> list[dict[str, Any]]:
    """Return the annotations of a record; none of a damaged one, which `read_inst2seg` reports."""
    entries = record.get('annotation') if isinstance(record, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


BENCHMARKS = (
    Benchmark(
        'tabletop',
        read_queries,
        ('test',),
        as_in_training,
        ('mAP', 'gIoU', 'accuracy', 'cIoU', 'AP50', 'AP75', 'N-acc', 'T-acc'),
        group_by='kind',
        by_target_count=True,
        has_instances=True,
        files=('inst2seg.json',),
        kinds=(TABLETOP,),
    ),
)
