"""GSEval (https://github.com/hustvl/GroundingSuite): captions with one mask and a class each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instructsam_model.masks import to_rle
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.file_kind import GSEVAL
from instructsam_training.datasets.io.files import find, text_of
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.datasets.io.segmentation import clip_box, is_empty
from instructsam_training.evaluation.benchmark import EMPTY_IS_WRONG, Benchmark
from instructsam_training.evaluation.prompts import can_you_segment
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query

FILE = 'GroundingSuite-Eval.jsonl'
CLASSES = {1: 'stuff', 2: 'part', 3: 'multi', 4: 'single'}

TABLE = 'Table 3'
PUBLISHED = (
    PublishedResult(
        'InstructSAM-2B',
        TABLE,
        {
            ALL: {'gIoU': 64.1},
            'stuff': {'gIoU': 89.4},
            'part': {'gIoU': 22.4},
            'multi': {'gIoU': 73.6},
            'single': {'gIoU': 54.8},
        },
    ),
    PublishedResult('LISA', TABLE, {ALL: {'gIoU': 57.6}}),
)


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read the file of the release; the group of a query is its class."""
    file = root if root.is_file() else find(root, FILE)
    for record in iter_records(file):
        # A damaged line is reported; the others still count.
        try:
            fields = json.loads(record.text)
            if not isinstance(fields, dict):
                raise ValueError(f'expected an object, got {type(fields).__name__}')
            query = _parse(fields, images or file.parent)
        except ValueError as error:
            report.skip(file, record.index, record.fault or str(error))
        else:
            yield query


def _parse(fields: dict[str, Any], images: Path) -> Query:
    # The mask has the size of the image, so that the image need not be opened.
    rle = to_rle(fields.get('segmentation'))
    size_hw = (rle['size'][0], rle['size'][1])
    if fields.get('idx') is None or fields.get('class_id') not in CLASSES:
        raise ValueError(f'expected idx, and class_id 1 to 4, got {fields.get("idx")!r} and {fields.get("class_id")!r}')
    return Query(
        id=str(fields['idx']),
        image=images / text_of(fields, 'image_path'),
        size_hw=size_hw,
        kind='phrase',
        text=text_of(fields, 'caption'),
        targets=() if is_empty(rle) else (rle,),
        box_xyxy=clip_box(fields['box'], size_hw) if fields.get('box') is not None else None,
        group=CLASSES[fields['class_id']],
    )


BENCHMARKS = (
    Benchmark(
        'gseval',
        read_queries,
        ('test',),
        can_you_segment,
        ('gIoU', 'cIoU', 'Pr@0.5', 'box Acc@0.5'),
        rule=EMPTY_IS_WRONG,  # every caption has a mask
        group_by='class',
        released_drops_empty=True,
        published={'test': PUBLISHED},
        files=(FILE,),
        kinds=(GSEVAL,),
    ),
)
