"""Inst2Seg, the benchmark of the paper: instructions with any number of instances, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.inst2seg import read_inst2seg
from instructsam_training.datasets.io.file_kind import INST2SEG
from instructsam_training.evaluation.benchmark import INSTANCE_METRICS, Benchmark
from instructsam_training.evaluation.prompts import with_mask_request
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query, queries_of

TABLE = 'Table 2'
PUBLISHED = (
    PublishedResult(
        'InstructSAM-2B',
        TABLE,
        {
            ALL: {'mAP': 31.5, 'gIoU': 60.4},
            '0': {'gIoU': 74.3},
            '1': {'mAP': 52.6, 'gIoU': 66.8},
            '>=2': {'mAP': 22.2, 'gIoU': 44.0},
        },
    ),
    PublishedResult('SAM3-Agent (Qwen3-VL-2B)', TABLE, {ALL: {'mAP': 29.7, 'gIoU': 58.8}, '0': {'gIoU': 81.3}}),
    PublishedResult('SAM3-Agent (Qwen2.5-VL-3B)', TABLE, {ALL: {'mAP': 23.2, 'gIoU': 48.7}, '0': {'gIoU': 86.2}}),
    PublishedResult('SAM3-Agent (Qwen2.5-VL-7B)', TABLE, {ALL: {'mAP': 35.7, 'gIoU': 63.2}, '0': {'gIoU': 90.1}}),
)


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read `inst2seg.json` of the folder, or a file of that format."""
    return queries_of(read_inst2seg(root, split, report, images))


BENCHMARKS = (
    Benchmark(
        'inst2seg',
        read_queries,
        ('test',),
        with_mask_request,
        (*INSTANCE_METRICS, 'N-acc', 'T-acc'),
        by_target_count=True,  # as in the rows of Table 2
        has_instances=True,
        published={'test': PUBLISHED},
        files=('inst2seg.json',),
        kinds=(INST2SEG,),
    ),
)
