"""RoboRefIt: one object of a robot's workspace for each expression.

The paper does not name its metric on RoboRefIt; the public evaluation computes the mean IoU of masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.inst2seg import read_roborefit_eval
from instructsam_training.datasets.io.file_kind import ROBOREFIT
from instructsam_training.datasets.roborefit import read_roborefit
from instructsam_training.evaluation.benchmark import EMPTY_IS_WRONG, RELEASED_RULE, Benchmark
from instructsam_training.evaluation.prompts import with_mask_request
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query, queries_of

FILE = 'roborefit_{split}_qa.json'
TABLE = 'Table 4'
PUBLISHED = {
    'testA': (PublishedResult('InstructSAM-2B', TABLE, {ALL: {'mIoU': 82.5}}),),
    'testB': (PublishedResult('InstructSAM-2B', TABLE, {ALL: {'mIoU': 74.4}}),),
}


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read the release, or the file of the public evaluation, given or in the folder; the group is the scene."""
    # Only the file of the public evaluation has this name.
    is_public_file = root.is_file() or (root / FILE.format(split=split)).is_file()
    read = read_roborefit_eval if is_public_file else read_roborefit
    return queries_of(read(root, split, report, images), lambda sample, annotation: sample.scene)


BENCHMARKS = (
    Benchmark(
        'roborefit',
        read_queries,
        ('testA', 'testB'),
        with_mask_request,
        ('mIoU', 'box Acc@0.5', 'cIoU', 'Pr@0.5', 'Pr@0.7', 'Pr@0.9', 'box mIoU'),
        min_score=0.5,
        rule=EMPTY_IS_WRONG,
        released_rule=RELEASED_RULE,
        group_by='scene',
        published=PUBLISHED,
        files=(FILE,),
        kinds=(ROBOREFIT,),
    ),
)
