"""ReasonSeg: long instructions that need reasoning, and short names, each with one mask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instructsam_training.data.sample import Annotation, Kind, Sample, SkipReport
from instructsam_training.datasets.inst2seg import read_reasonseg_eval
from instructsam_training.datasets.io.file_kind import REASONSEG
from instructsam_training.datasets.reasonseg import read_reasonseg
from instructsam_training.evaluation.benchmark import RELEASED_RULE, Benchmark
from instructsam_training.evaluation.prompts import with_mask_request
from instructsam_training.evaluation.published import ALL, PublishedResult
from instructsam_training.evaluation.query import Query, queries_of
from instructsam_training.evaluation.scoring import IouRule

LISA_RULE = IouRule(empty=1.0, epsilon=1e-5)
"""LISA's `validate`: the IoU is 1 if the union is empty."""

FILE = 'reason_seg_{split}.json'
TABLE, SAM3_PAPER = 'Table 2', 'SAM 3 paper'
PUBLISHED = {
    'val': (
        PublishedResult('InstructSAM-2B', TABLE, {ALL: {'gIoU': 62.5, 'cIoU': 65.0}}),
        PublishedResult('SAM3-Agent (Qwen2.5-VL-7B)', TABLE, {ALL: {'gIoU': 62.2, 'cIoU': 49.1}}),
        PublishedResult('SAM3-Agent (Llama-4 Maverick)', SAM3_PAPER, {ALL: {'gIoU': 68.5}}),
        PublishedResult('SAM3-Agent (Qwen2.5-VL-72B)', SAM3_PAPER, {ALL: {'gIoU': 74.6}}),
        PublishedResult('SAM3-Agent (Gemini 2.5 Pro)', SAM3_PAPER, {ALL: {'gIoU': 77.0}}),
    ),
    'test': (
        PublishedResult('InstructSAM-2B', TABLE, {ALL: {'gIoU': 61.1, 'cIoU': 61.0}}),
        PublishedResult(
            'SAM3-Agent (Qwen2.5-VL-7B)',
            TABLE,
            {
                ALL: {'gIoU': 63.0, 'cIoU': 53.5},
                'short': {'gIoU': 59.4, 'cIoU': 43.5},
                'long': {'gIoU': 64.1, 'cIoU': 56.2},
            },
        ),
        PublishedResult(
            'SAM3-Agent (Llama-4 Maverick)',
            SAM3_PAPER,
            {ALL: {'gIoU': 67.1}, 'short': {'gIoU': 66.8}, 'long': {'gIoU': 67.2}},
        ),
        PublishedResult(
            'SAM3-Agent (Qwen2.5-VL-72B)',
            SAM3_PAPER,
            {ALL: {'gIoU': 70.8}, 'short': {'gIoU': 70.3}, 'long': {'gIoU': 71.0}},
        ),
        PublishedResult(
            'SAM3-Agent (Gemini 2.5 Pro)',
            SAM3_PAPER,
            {ALL: {'gIoU': 74.0}, 'short': {'gIoU': 75.8}, 'long': {'gIoU': 73.4}},
        ),
    ),
}


def read_queries(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Query]:
    """Read the release, or the file of the public evaluation if it is given or in the folder.

    Groups are `long` and `short`.
    """
    # Only the file of the public evaluation has this name.
    is_public_file = root.is_file() or (root / FILE.format(split=split)).is_file()
    read = read_reasonseg_eval if is_public_file else read_reasonseg
    return queries_of(read(root, split, report, images), _length)


def prompt(kind: Kind, text: str) -> str:
    """Return the prompt of the public evaluation, which treats short queries as names."""
    if kind == 'sentence':
        return with_mask_request(kind, text)
    return f"Please segment the '{text[:1].lower()}{text[1:]}' in the image."


def _length(sample: Sample, annotation: Annotation) -> str:
    # Long queries are instructions, short ones are names.
    return 'long' if annotation.kind == 'sentence' else 'short'


BENCHMARKS = (
    Benchmark(
        'reasonseg',
        read_queries,
        ('val', 'test'),
        prompt,
        ('gIoU', 'cIoU'),
        rule=LISA_RULE,
        released_rule=RELEASED_RULE,
        group_by='length',
        published=PUBLISHED,
        files=(FILE,),
        kinds=(REASONSEG,),
    ),
)
