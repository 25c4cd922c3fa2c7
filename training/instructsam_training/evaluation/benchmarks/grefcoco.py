"""gRefCOCO: names of any number of instances, or none.

Its numbers are from Tables 2 to 4; it is not known here from which of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.inst2seg import read_grefcoco_eval
from instructsam_training.datasets.io.file_kind import GREFCOCO
from instructsam_training.datasets.refer import read_grefcoco
from instructsam_training.evaluation.benchmark import INSTANCE_METRICS, Benchmark
from instructsam_training.evaluation.prompts import can_you_segment
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query, queries_of

FILE = 'grefcoco_{split}.json'
TABLE = 'Tables 2 to 4'
PUBLISHED = {
    'val': (PublishedResult('InstructSAM-2B', TABLE, {ALL: {'mAP': 57.3, 'cIoU': 68.3}}),),
    'testA': (PublishedResult('InstructSAM-2B', TABLE, {ALL: {'mAP': 51.9, 'cIoU': 72.3}}),),
    'testB': (PublishedResult('InstructSAM-2B', TABLE, {ALL: {'mAP': 43.5, 'cIoU': 65.2}}),),
}


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read the release, or the file of the public evaluation if it is given or in the folder."""
    # Only the file of the public evaluation has this name.
    is_public_file = root.is_file() or (root / FILE.format(split=split)).is_file()
    read = read_grefcoco_eval if is_public_file else read_grefcoco
    return queries_of(read(root, split, report, images))


BENCHMARKS = (
    Benchmark(
        'grefcoco',
        read_queries,
        ('val', 'testA', 'testB'),
        can_you_segment,
        (*INSTANCE_METRICS, 'N-acc', 'T-acc', 'Pr@0.7', 'Pr@0.8', 'Pr@0.9'),
        by_target_count=True,
        has_instances=True,
        published=PUBLISHED,
        files=(FILE,),
        kinds=(GREFCOCO,),
    ),
)
