"""The evaluation files of the public implementation: Inst2Seg, gRefCOCO, ReasonSeg and RoboRefIt.

    <root>/inst2seg.json                        <root>/grefcoco_{val,testA,testB}.json
    <root>/reason_seg_{val,test}.json           <root>/roborefit_{testA,testB}_qa.json

Texts are those of the files, without the words that an evaluation puts around them: a name is an annotation of the kind
phrase, an instruction one of the kind sentence. None names its answer, so `NO_ANSWER` stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructsam_model.masks import Rle, to_rle
from instructsam_training.data.sample import Annotation, Kind, Sample, SkipReport, named
from instructsam_training.datasets.io.files import checked_size, find, load_list, picture_size, text_of
from instructsam_training.datasets.io.segmentation import instance_rle, is_empty

NO_ANSWER = 'target'
COCO_FOLDERS = ('train2017', 'val2017')
"""Where gRefCOCO's pictures are looked for: their names are those of 2014."""


@dataclass(frozen=True)
class _Record:
    """What a record says, its questions still unread.

    Attributes:
        image: the picture.
        size_hw: its height and width, pixels.
        questions: kind and text of each, and what answers it.
        ignore: pixels that do not count.
    """

    image: Path
    size_hw: tuple[int, int]
    questions: list[tuple[Kind, Any, Any]]
    ignore: Any = None


Parse = Callable[[Mapping[str, Any], Path], _Record]


def read_inst2seg(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Inst2Seg: instructions with one mask an instance, or none.

    Args:
        root: folder of the file, or a file of another name.
        split: not used, there is one.
        report: gets the records that cannot be read.
        images: folder that the pictures' names are relative to; that of the file if not given.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    file = root if root.is_file() else find(root, 'inst2seg.json')
    return _read(file, report, images or file.parent, _inst2seg)


def read_grefcoco_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """gRefCOCO: names with one mask an instance, or none. As `read_inst2seg`; pictures in train2017 and val2017."""
    return _read(find(root, f'grefcoco_{split}.json'), report, images or root, _grefcoco)


def read_reasonseg_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """ReasonSeg: names and instructions with one mask, and pixels to ignore. As `read_inst2seg`."""
    return _read(find(root, f'reason_seg_{split}.json'), report, images or root, _reasonseg)


def read_roborefit_eval(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """RoboRefIt: instructions with one mask. As `read_inst2seg`."""
    return _read(find(root, f'roborefit_{split}_qa.json'), report, images or root, _roborefit)


def _read(file: Path, report: SkipReport, images: Path, parse: Parse) -> Iterator[Sample]:
    return _samples(file, load_list(file), report, images, parse)


def _samples(file: Path, records: list[Any], report: SkipReport, images: Path, parse: Parse) -> Iterator[Sample]:
    for index, content in enumerate(records):
        try:
            if not isinstance(content, dict):
                raise ValueError(f'expected an object, got {type(content).__name__}')
            record = parse(content, images)
            ignore = None if record.ignore is None else to_rle(record.ignore, record.size_hw)
        except ValueError as error:
            report.skip(file, index, str(error))
            continue
        annotations = []
        for number, (kind, text, targets) in enumerate(record.questions):
            try:
                annotations.append(_annotation(kind, text, _instances(targets, record.size_hw)))
            except ValueError as error:
                report.skip(file, f'{index}.{number}', str(error))
        if annotations:
            source = f'{file}[{index}]'
            yield Sample(record.image, record.size_hw, tuple(annotations), source=source, id=str(index), ignore=ignore)


def _inst2seg(record: Mapping[str, Any], images: Path) -> _Record:
    entries = record.get('annotation')
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'annotation: expected a list of objects, got {type(entries).__name__}')
    questions: list[tuple[Kind, Any, Any]] = [('sentence', entry.get('text'), entry.get('mask')) for entry in entries]
    return _Record(images / text_of(record, 'image'), checked_size(record), questions)


def _grefcoco(record: Mapping[str, Any], images: Path) -> _Record:
    names, masks = record.get('cat'), record.get('masks')
    if not isinstance(names, list) or not isinstance(masks, list) or len(names) != len(masks):
        raise ValueError('expected cat and masks of one length')
    name = text_of(record, 'image').rpartition('_')[2]
    image = next((images / folder / name for folder in COCO_FOLDERS if (images / folder / name).is_file()), None)
    if image is None:
        raise ValueError(f'expected the picture {name} in {" or ".join(COCO_FOLDERS)} of {images}, found it in neither')
    questions: list[tuple[Kind, Any, Any]] = [('phrase', text, mask) for text, mask in zip(names, masks, strict=True)]
    return _Record(image, checked_size(record), questions)


def _reasonseg(record: Mapping[str, Any], images: Path) -> _Record:
    if not isinstance(record.get('is_sentence'), bool):
        raise ValueError(f'is_sentence: expected true or false, got {record.get("is_sentence")!r}')
    kind: Kind = 'sentence' if record['is_sentence'] else 'phrase'
    return _union(record, images, kind, text_of(record, 'question'), 'mask')


def _roborefit(record: Mapping[str, Any], images: Path) -> _Record:
    return _union(record, images, 'sentence', text_of(record, 'question', 'expression'), 'masks')


def _union(record: Mapping[str, Any], images: Path, kind: Kind, text: str, key: str) -> _Record:
    """A record with one question and one mask of all targets, which says how large the picture is."""
    image, mask = images / text_of(record, 'image'), record.get(key)
    if isinstance(mask, dict):
        rle = to_rle(mask)
        height, width = rle['size']
        return _Record(image, (height, width), [(kind, text, [] if is_empty(rle) else rle)], record.get('ignore_mask'))
    return _Record(image, picture_size(image), [(kind, text, mask)], record.get('ignore_mask'))


def _annotation(kind: Kind, text: Any, masks: tuple[Rle, ...]) -> Annotation:
    if not isinstance(text, str):
        raise ValueError(f'expected a text, got {text!r}')
    return Annotation(kind, text, NO_ANSWER, masks) if kind == 'sentence' else named(text, masks)


def _instances(targets: Any, size_hw: tuple[int, int]) -> tuple[Rle, ...]:
    """Each element of a list is an instance; an RLE or a polygon alone is one."""
    if targets is None:
        return ()
    is_one = isinstance(targets, dict) or (isinstance(targets, list) and targets and not _holds_instances(targets))
    if not isinstance(targets, list) and not is_one:
        raise ValueError(f'expected a list of masks, got {type(targets).__name__}')
    return tuple(instance_rle(target, size_hw) for target in ([targets] if is_one else targets))


def _holds_instances(targets: list[Any]) -> bool:
    return all(isinstance(target, dict | list | str) for target in targets)
