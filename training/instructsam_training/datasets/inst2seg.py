"""Evaluation files of the public implementation: Inst2Seg, gRefCOCO, ReasonSeg and RoboRefIt.

    <root>/inst2seg.json                        <root>/grefcoco_{val,testA,testB}.json
    <root>/reason_seg_{val,test}.json           <root>/roborefit_{testA,testB}_qa.json

Texts are those of the files, without the prompt of the evaluation: a name is an annotation of kind phrase, an
instruction of kind sentence. The files have no answer phrases; instructions get the placeholder `NO_ANSWER`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import Annotation, Kind, Sample, SkipReport, named
from instructsam_training.datasets.io.files import find, load_list, parse_size_hw, read_size_hw, text_of
from instructsam_training.datasets.io.segmentation import instance_rle, is_empty
from instructsam_training.datasets.source import Source

NO_ANSWER = 'target'
COCO_FOLDERS = ('train2017', 'val2017')
"""Folders that are searched for gRefCOCO's images, whose names are those of COCO 2014."""


@dataclass(frozen=True)
class _Record:
    """Fields of one record; the masks of its questions are not parsed yet.

    Attributes:
        image: file of the image.
        size_hw: height and width of the image, pixels.
        questions: kind, text and masks of each question.
        ignore: mask of the pixels to ignore in the evaluation.
    """

    image: Path
    size_hw: tuple[int, int]
    questions: list[tuple[Kind, Any, Any]]
    ignore: Any = None


Parser = Callable[[Mapping[str, Any], Path], _Record]
"""Parses a record of one of the files; the second argument is the folder of the images."""


def read_inst2seg(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Read Inst2Seg: instructions with one mask per instance, or none.

    Args:
        root: folder of `inst2seg.json`, or a file in its format.
        split: ignored; there is only one.
        report: collects the records that cannot be read.
        images: folder that image names are relative to; the file's folder if not given.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    file = root if root.is_file() else find(root, 'inst2seg.json')
    return _read(file, report, images or file.parent, _parse_inst2seg)


def read_grefcoco_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Read gRefCOCO: names with one mask per instance, or none; images in train2017 and val2017."""
    file = root if root.is_file() else find(root, f'grefcoco_{split}.json')
    return _read(file, report, images or file.parent, _parse_grefcoco)


def read_reasonseg_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Read ReasonSeg: names and instructions with one mask, and a mask of pixels to ignore."""
    file = root if root.is_file() else find(root, f'reason_seg_{split}.json')
    return _read(file, report, images or file.parent, _parse_reasonseg)


def read_roborefit_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Read RoboRefIt: instructions with one mask."""
    file = root if root.is_file() else find(root, f'roborefit_{split}_qa.json')
    return _read(file, report, images or file.parent, _parse_roborefit)


def _read(file: Path, report: SkipReport, images: Path, parse: Parser) -> Iterator[Sample]:
    return _samples(file, load_list(file), report, images, parse)


def _samples(file: Path, records: list[Any], report: SkipReport, images: Path, parse: Parser) -> Iterator[Sample]:
    for index, content in enumerate(records):
        try:
            if not isinstance(content, dict):
                raise ValueError(f'expected an object, got {type(content).__name__}')
            record = parse(content, images)
            # Pixels to ignore concern all questions: if this mask is damaged, none can be evaluated.
            ignore = None if record.ignore is None else to_rle(record.ignore, record.size_hw)
        except ValueError as error:
            report.skip(file, index, str(error))
            continue
        if not record.questions:
            report.skip(file, index, 'expected at least one question, found none')
        annotations = []
        for number, (kind, text, targets) in enumerate(record.questions):
            try:
                # A damaged question is skipped alone.
                annotations.append(_annotation(kind, text, _instances(targets, record.size_hw)))
            except ValueError as error:
                report.skip(file, f'{index}.{number}', str(error))
        if annotations:
            source = f'{file}[{index}]'
            yield Sample(record.image, record.size_hw, tuple(annotations), source=source, id=str(index), ignore=ignore)


def _parse_inst2seg(record: Mapping[str, Any], images: Path) -> _Record:
    entries = record.get('annotation')
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'annotation: expected a list of objects, got {type(entries).__name__}')
    for entry in entries:
        _check_no_other_masks(entry)
    questions: list[tuple[Kind, Any, Any]] = [('sentence', entry.get('text'), entry.get('mask')) for entry in entries]
    return _Record(images / text_of(record, 'image'), parse_size_hw(record), questions)


def _check_no_other_masks(entry: Mapping[str, Any]) -> None:
    """Check that an annotation without `mask`, which has no target, does not have its masks under another name."""
    # Masks may also be JSON text, as in the training format.
    others = [
        key
        for key, value in entry.items()
        if (isinstance(value, list | dict) and value) or (isinstance(value, str) and value.startswith(('[', '{')))
    ]
    if 'mask' not in entry and others:
        raise ValueError(f'expected the masks in mask, or no masks; found none, but {", ".join(others)}')


def _parse_grefcoco(record: Mapping[str, Any], images: Path) -> _Record:
    # Two parallel lists: the masks of name i are masks[i].
    names, masks = record.get('cat'), record.get('masks')
    if not isinstance(names, list) or not isinstance(masks, list) or len(names) != len(masks):
        raise ValueError('expected cat and masks of one length')
    # COCO_train2014_000000000009.jpg is 000000000009.jpg in the folders of 2017.
    name = text_of(record, 'image').rpartition('_')[2]
    image = next((images / folder / name for folder in COCO_FOLDERS if (images / folder / name).is_file()), None)
    if image is None:
        raise ValueError(f'expected the image {name} in {" or ".join(COCO_FOLDERS)} of {images}, found it in neither')
    questions: list[tuple[Kind, Any, Any]] = [('phrase', text, mask) for text, mask in zip(names, masks, strict=True)]
    return _Record(image, parse_size_hw(record), questions)


def _parse_reasonseg(record: Mapping[str, Any], images: Path) -> _Record:
    if not isinstance(record.get('is_sentence'), bool):
        raise ValueError(f'is_sentence: expected true or false, got {record.get("is_sentence")!r}')
    # Names and instructions are prompted differently in the evaluation.
    kind: Kind = 'sentence' if record['is_sentence'] else 'phrase'
    return _single_question(record, images, kind, text_of(record, 'question'), 'mask')


def _parse_roborefit(record: Mapping[str, Any], images: Path) -> _Record:
    return _single_question(record, images, 'sentence', text_of(record, 'question', 'expression'), 'masks')


def _single_question(record: Mapping[str, Any], images: Path, kind: Kind, text: str, key: str) -> _Record:
    """A record with one question and one mask of all its targets; an RLE also gives the size of the image."""
    if key not in record:
        raise ValueError(f'expected a mask in {key}, got only {", ".join(map(str, record))}')
    image, mask = images / text_of(record, 'image'), record[key]
    # An RLE may be empty, which means that there is no target.
    if isinstance(mask, dict):
        rle = to_rle(mask)
        height, width = rle['size']
        return _Record(image, (height, width), [(kind, text, [] if is_empty(rle) else rle)], record.get('ignore_mask'))
    # Polygons do not state the size of the image, so it is read from the file.
    return _Record(image, read_size_hw(image), [(kind, text, mask)], record.get('ignore_mask'))


def _annotation(kind: Kind, text: Any, masks: tuple[Rle, ...]) -> Annotation:
    if not isinstance(text, str):
        raise ValueError(f'expected a text, got {text!r}')
    return Annotation(kind, text, NO_ANSWER, masks) if kind == 'sentence' else named(text, masks)


def _instances(targets: Any, size_hw: tuple[int, int]) -> tuple[Rle, ...]:
    """Masks of the instances: the elements of a list, or a single RLE or polygon."""
    if targets is None:
        return ()
    # A flat list of numbers is one polygon, a list of masks several instances.
    is_one = isinstance(targets, dict) or (isinstance(targets, list) and targets and not _holds_instances(targets))
    if not isinstance(targets, list) and not is_one:
        raise ValueError(f'expected a list of masks, got {type(targets).__name__}')
    return tuple(instance_rle(target, size_hw) for target in ([targets] if is_one else targets))


def _holds_instances(targets: list[Any]) -> bool:
    return all(isinstance(target, dict | list | str) for target in targets)


SOURCES = {
    'inst2seg_eval': Source(read_inst2seg, ('test',)),
    'grefcoco_eval': Source(read_grefcoco_eval, ('val', 'testA', 'testB')),
    'reasonseg_eval': Source(read_reasonseg_eval, ('val', 'test')),
    'roborefit_eval': Source(read_roborefit_eval, ('testA', 'testB')),
}
