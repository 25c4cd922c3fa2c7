"""Where the benchmarks' questions come from: raw releases, or the evaluation files of the public implementation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instructsam_model.masks import to_rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport
from instructsam_training.datasets.inst2seg import read_inst2seg
from instructsam_training.datasets.io.files import find, load_list, text_of
from instructsam_training.datasets.io.records import iter_records
from instructsam_training.datasets.io.segmentation import clip_box, is_empty
from instructsam_training.datasets.registry import SOURCES
from instructsam_training.evaluation.query import Question, questions_of

GSEVAL_FILE = 'GroundingSuite-Eval.jsonl'
GSEVAL_CLASSES = {1: 'stuff', 2: 'part', 3: 'multi', 4: 'single'}


def read_inst2seg_questions(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Question]:
    """Inst2Seg: `inst2seg.json` in the folder, or any file of that format."""
    return questions_of(read_inst2seg(root, split, report, images))


def read_tabletop(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Question]:
    """The simulated tabletop: Inst2Seg's file and format, whose annotations also say their `kind`."""
    file = root if root.is_file() else find(root, 'inst2seg.json')
    kinds = {
        (str(index), entry.get('text')): str(entry.get('kind') or '')
        for index, record in enumerate(load_list(file))
        for entry in _entries(record)
    }
    samples = read_inst2seg(file, split, report, images)
    return questions_of(samples, lambda sample, annotation: kinds.get((sample.id, annotation.text), ''))


def read_release(
    root: Path, split: str, report: SkipReport, images: Path | None, *, name: str, published: str = ''
) -> Iterator[Question]:
    """The questions of a raw release, or those of the public implementation's file where that lies in the folder.

    Args:
        root: folder of the release, or of the file.
        split: of the data set.
        report: gets what cannot be read.
        images: folder of the pictures, if they are not where they belong.
        name: of the data set in `datasets.SOURCES`.
        published: name of the public implementation's file, `{}` for the split; empty if it has none.
    """
    is_published = bool(published) and (root / published.format(split)).is_file()
    read = SOURCES[f'{name}_eval' if is_published else name].read
    return questions_of(read(root, split, report, images), _GROUPS.get(name, _no_group))


def read_gseval(root: Path, split: str, report: SkipReport, images: Path | None) -> Iterator[Question]:
    """GSEval as https://github.com/hustvl/GroundingSuite releases it: captions with one mask and a class each."""
    file = root if root.is_file() else find(root, GSEVAL_FILE)
    for record in iter_records(file):
        try:
            fields = json.loads(record.text)
            if not isinstance(fields, dict):
                raise ValueError(f'expected an object, got {type(fields).__name__}')
            question = _gseval_question(fields, images or file.parent)
        except ValueError as error:
            report.skip(file, record.index, record.fault or str(error))
        else:
            yield question


def _gseval_question(fields: dict[str, Any], images: Path) -> Question:
    rle = to_rle(fields.get('segmentation'))
    size_hw = (rle['size'][0], rle['size'][1])
    if fields.get('idx') is None or fields.get('class_id') not in GSEVAL_CLASSES:
        raise ValueError(f'expected idx, and class_id 1 to 4, got {fields.get("idx")!r} and {fields.get("class_id")!r}')
    return Question(
        id=str(fields['idx']),
        image=images / text_of(fields, 'image_path'),
        size_hw=size_hw,
        kind='phrase',
        text=text_of(fields, 'caption'),
        targets=() if is_empty(rle) else (rle,),
        box_xyxy=clip_box(fields['box'], size_hw) if fields.get('box') is not None else None,
        group=GSEVAL_CLASSES[fields['class_id']],
    )


def _entries(record: Any) -> list[dict[str, Any]]:
    """The annotations of a record; none where it is damaged, which its reader reports."""
    entries = record.get('annotation') if isinstance(record, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _no_group(sample: Sample, annotation: Annotation) -> str:
    return ''


_GROUPS = {
    'reasonseg': lambda sample, annotation: 'long' if annotation.kind == 'sentence' else 'short',
    'roborefit': lambda sample, annotation: sample.scene,
}
