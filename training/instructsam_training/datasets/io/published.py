"""Reader of the published training format: a JSON list, or JSON lines, of images with their annotations.

    {"image": "kitchen.jpg", "height": 480, "width": 640, "type": "instseg", "mask": null, "conversations": null,
     "annotation": [
       {"type": "phrase", "text": "blue mug", "category": null, "ann_type": "mask", "ann": ["<JSON of an RLE>"]},
       {"type": "sentence", "text": "What cuts?", "category": "knife", "ann_type": "bbox", "ann": ["[9, 9, 80, 20]"]},
       {"type": "phrase", "text": "purple elephant", "category": null, "ann_type": "mask", "ann": null}]}

Arrow needs one type per column, so published files store fields of varying type as JSON text, and absent fields as
null; this reader accepts both forms for every field. `id`, `depth`, `scene`, `ignore`, an annotation's `box`,
`level` and `concept`, and the type `caption`, whose `category` is the text answer, are optional additions of
`write_published`; other readers of the format ignore them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import (
    ANSWERED_KINDS,
    Annotation,
    Kind,
    LevelName,
    Sample,
    SampleError,
    SkipReport,
    clean_phrase,
)
from instructsam_training.datasets.io.files import parse_size_hw, read_size_hw, text_of
from instructsam_training.datasets.io.records import RawRecord, iter_records
from instructsam_training.datasets.io.segmentation import box_rle, clip_box, instance_rle
from instructsam_training.datasets.io.spans import read_spans


def read_published(file: Path, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield the samples of a file in the published format.

    Args:
        file: a JSON list, or JSON lines.
        report: collects the records and annotations that cannot be read.
        images: folder that image names are relative to; the file's folder if not given.

    Raises:
        ConfigError: the file holds no records.
    """
    for record in iter_records(file):
        try:
            sample = parse_record(record, images or file.parent)
        except SampleError as error:
            report.errors.append(error)
        else:
            report.errors.extend(sample.errors)
            yield sample


def parse_record(raw: RawRecord, images: Path) -> Sample:
    """Parse one record. Annotations that cannot be read are listed in the sample's `errors`, the others are kept.

    Raises:
        SampleError: the record cannot be read, or none of its annotations can.
    """
    if raw.fault:
        raise SampleError(raw.file, raw.index, raw.fault)
    try:
        record = json.loads(raw.text)
        if not isinstance(record, dict):
            raise ValueError(f'expected a JSON object, got {type(record).__name__}')
        return _sample(record, raw.file, raw.index, images)
    except ValueError as error:
        raise SampleError(raw.file, raw.index, str(error)) from None


def count_annotations(raw: RawRecord) -> int:
    """Return the number of annotations and questions of a record, without parsing them; 0 if it cannot be read."""
    try:
        record = json.loads(raw.text)
        annotations, turns = _decoded(record.get('annotation')), _decoded(record.get('conversations'))
        return len(annotations or ()) + len(turns or ()) // 2
    except (ValueError, TypeError, AttributeError):
        return 0


def _sample(record: Mapping[str, Any], file: Path, index: int, images: Path) -> Sample:
    if record.get('image') is None and record.get('video') is not None:
        raise ValueError('expected an image, got a video')
    if {'images', 'annotations'} <= record.keys():
        raise ValueError('expected a record of one image, got a COCO file; convert it with instructsam-convert coco')
    image = images / text_of(record, 'image')
    # Opening the image is the slow fallback for records without size.
    has_size = record.get('height') is not None and record.get('width') is not None
    size_hw = parse_size_hw(record) if has_size else read_size_hw(image)
    annotations, errors = _annotations(record, size_hw, file, index)
    if not annotations:
        reasons = '; '.join(f'{error.index}: {error.reason}' for error in errors) or 'it has none'
        raise ValueError(f'none of its annotations can be read: {reasons}')
    ignore = _decoded(record.get('ignore'))
    return Sample(
        image,
        size_hw,
        annotations,
        allow_multi_phrase=record.get('type') == 'instseg',
        depth=images / text_of(record, 'depth') if record.get('depth') else None,
        source=f'{file}[{index}]',
        id=str(index if record.get('id') is None else record['id']),
        scene=text_of(record, 'scene') if record.get('scene') else '',
        ignore=None if ignore is None else to_rle(ignore, size_hw),
        errors=errors,
    )


def _annotations(
    record: Mapping[str, Any], size_hw: tuple[int, int], file: Path, index: int
) -> tuple[tuple[Annotation, ...], tuple[SampleError, ...]]:
    """Parse a record's annotations and conversations; return those that can be read, and the errors of the others."""
    entries, masks = _decoded(record.get('annotation')), _decoded(record.get('mask'))
    if entries is None and masks is None:
        raise ValueError('expected annotation, or mask with conversations, got neither')
    if not isinstance(entries, list | None):
        raise ValueError(f'annotation: expected a list, got {type(entries).__name__}')
    annotations: list[Annotation] = []
    errors: list[SampleError] = []
    # A damaged annotation is dropped alone: the others of its record are still correct.
    for number, entry in enumerate(entries or ()):
        try:
            annotations.append(_annotation(entry, size_hw))
        except ValueError as error:
            errors.append(SampleError(file, f'{index}.annotation.{number}', str(error)))
    if masks is not None:
        try:
            annotations += read_spans(_decoded(record.get('conversations')), masks, size_hw)
        except ValueError as error:
            # One [SEG] without a mask shifts all others: the conversation is dropped as a whole.
            errors.append(SampleError(file, f'{index}.conversations', str(error)))
    return tuple(annotations), tuple(errors)


def _annotation(entry: Any, size_hw: tuple[int, int]) -> Annotation:
    entry = _decoded(entry)
    if not isinstance(entry, dict):
        raise ValueError(f'expected a JSON object, got {type(entry).__name__}')
    if entry.get('type') not in get_args(Kind):
        raise ValueError(f'type: expected {", ".join(get_args(Kind))}, got {entry.get("type")!r}')
    kind: Kind = entry['type']
    text = text_of(entry, 'text')
    # Names are their own answer; instructions have theirs in `category`.
    phrase = clean_phrase(text_of(entry, 'category') if kind in ANSWERED_KINDS else text)
    # RoboRefIt also has a box for each expression.
    box_xyxy = None if entry.get('box') is None else clip_box(entry['box'], size_hw)
    level, concept = entry.get('level'), entry.get('concept')
    if level not in (None, *get_args(LevelName)):
        raise ValueError(f'level: expected {", ".join(get_args(LevelName))}, got {level!r}')
    is_box = entry.get('ann_type') == 'bbox'
    masks, concept = _masks(entry, size_hw), text_of(entry, 'concept') if concept else ''
    return Annotation(kind, text, phrase, masks, is_box, box_xyxy, level=level, concept=concept)


def _masks(entry: Mapping[str, Any], size_hw: tuple[int, int]) -> tuple[Rle, ...]:
    form, targets = entry.get('ann_type'), _decoded(entry.get('ann'))
    if form not in ('mask', 'bbox') and not (form is None and targets is None):
        raise ValueError(f'ann_type: expected mask or bbox, got {form!r}, which has no mask')
    if not isinstance(targets, list | None):
        raise ValueError(f'ann: expected a list of targets or null, got {type(targets).__name__}')
    # Boxes become filled masks; `box_only` tells the losses.
    read = box_rle if form == 'bbox' else instance_rle
    return tuple(read(_decoded(target), size_hw) for target in targets or ())


def _decoded(value: Any) -> Any:
    """Decode a field that may be stored as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f'expected JSON, got {value[:60]!r} ({error})') from None
