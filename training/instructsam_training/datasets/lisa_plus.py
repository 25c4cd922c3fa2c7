"""LISA++ (https://huggingface.co/collections/Senqiao/lisa-67713837a32d6abf516a162e): questions about COCO images.

    <root>/LISA_Plus_COT/data.json              reasoning: an answer refers to instances
    <root>/LISA_Plus_Instance_Seg/data.json     names of instances
    <root>/train2017/000000000009.jpg           images of COCO 2017; also in coco/train2017

`<root>` may also be the folder of the one data.json. The data sets' pages name no fields. The fields here are those
that a public loader of them reads (the class COTDataset of a fork of LISA):

    {"image_path": "000000000009.jpg", "English Question": "What ...?",
     "English Answer": "It is [《12|cup》《13|cup》].",
     "info": {"12": [[[x, y], ...], ...], "13": {"size": [h, w], "counts": "..."}}, "is_rle": false}

The answer of an instance record is `instance id is 12, label name is cup; instance id is ...`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport, named
from instructsam_training.datasets.io.files import find, read_size_hw, text_of
from instructsam_training.datasets.io.records import iter_json
from instructsam_training.datasets.io.segmentation import instance_rle
from instructsam_training.datasets.source import Source

IMAGE_FIELDS = ('image_path', 'img_path', 'img_pth', 'image')
IMAGE_FOLDERS = ('', 'train2017', 'coco/train2017', 'val2017', 'coco/val2017')
MENTION = re.compile(r'《\s*(\d+)\s*\|\s*([^》]+?)\s*》')
INSTANCE = re.compile(r'instance id is (\d+), label name is ([^;]+)')

Masks = Mapping[str, tuple[Rle, ...]]
"""Masks of the instances by their name, in the order of the answer."""
Parser = Callable[[Mapping[str, Any], Masks], tuple[Annotation, ...]]


def read_lisa_plus(
    root: Path,
    split: str,
    report: SkipReport,
    images: Path | None = None,
    *,
    folder: str,
    pattern: re.Pattern[str],
    parse: Parser,
) -> Iterator[Sample]:
    """Yield the samples of a file: one per record.

    Args:
        root: folder that holds the data set's folder, or this folder.
        split: ignored; there is only one.
        report: collects the records that cannot be read.
        images: folder of COCO's images; `root` if not given.
        folder: the data set's folder.
        pattern: mention of an instance in an answer: its id and its name.
        parse: makes the annotations of a record.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    return _samples(find(root, f'{folder}/data.json', 'data.json'), images or root, pattern, parse, report)


def _samples(file: Path, images: Path, pattern: re.Pattern[str], parse: Parser, report: SkipReport) -> Iterator[Sample]:
    for index, record in enumerate(iter_json(file)):
        try:
            if not isinstance(record, dict):
                raise ValueError(f'expected an object, got {type(record).__name__}')
            # The field has one of several names.
            image = _find_image(images, text_of(record, *IMAGE_FIELDS))
            size_hw = read_size_hw(image)
            names = _names(pattern, text_of(record, 'English Answer'))
            # Instances of one name are one phrase with several masks.
            masks = {name: tuple(_mask(record, number, size_hw) for number in ids) for name, ids in names.items()}
            annotations = parse(record, masks)
        except ValueError as error:
            report.skip(file, index, str(error))
            continue
        yield Sample(image, size_hw, annotations, source=f'{file}[{index}]', id=str(index))


def _names(pattern: re.Pattern[str], answer: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for number, name in pattern.findall(answer):
        ids = names.setdefault(name.strip(), [])
        # An answer may mention an instance more than once.
        if number not in ids:
            ids.append(number)
    if not names:
        raise ValueError(f'English Answer: expected a mention of an instance, got {answer[:80]!r}')
    return names


def _mask(record: Mapping[str, Any], number: str, size_hw: tuple[int, int]) -> Rle:
    info = record.get('info')
    # The object may be JSON text: Arrow needs one type per column.
    info = json.loads(info) if isinstance(info, str) else info
    shape = info.get(number) if isinstance(info, dict) else None
    if shape is None:
        raise ValueError(f'info: expected the instance {number} of the answer, found none')
    # An object is an RLE, or holds polygons under one of two names.
    if isinstance(shape, dict) and 'counts' not in shape:
        shape = shape.get('polygon') or shape.get('polygon_raw')
    try:
        return instance_rle(shape if isinstance(shape, dict) else _flat_polygons(shape), size_hw)
    except (TypeError, ValueError) as error:
        raise ValueError(f'info: instance {number}: {error}') from None


def _flat_polygons(shape: Any) -> list[list[float]]:
    """Polygons as [x, y, x, y, ...], from lists of points or one of them."""
    if not isinstance(shape, list) or not shape or not isinstance(shape[0], list) or not shape[0]:
        raise ValueError(f'expected polygons of points, got {str(shape)[:60]}')
    # Three levels of lists: polygons, points, coordinates; two levels are one polygon.
    polygons = shape if isinstance(shape[0][0], list) else [shape]
    return [[coordinate for point in polygon for coordinate in point] for polygon in polygons]


def _find_image(images: Path, name: str) -> Path:
    for folder in IMAGE_FOLDERS:
        if (images / folder / name).is_file():
            return images / folder / name
    raise ValueError(f'expected the image {name} in {images} or its folder train2017, found none')


def _parse_reasoning(record: Mapping[str, Any], masks: Masks) -> tuple[Annotation, ...]:
    """One instruction; the names in the answer are its phrases."""
    # In the order of the answer, as the model is trained to name them.
    first, *more = (named(name, rles) for name, rles in masks.items())
    question = text_of(record, 'English Question')
    return (Annotation('sentence', question, first.phrase, first.masks, additional_phrases=tuple(more)),)


def _parse_instances(record: Mapping[str, Any], masks: Masks) -> tuple[Annotation, ...]:
    """One name for each label."""
    return tuple(named(name, rles) for name, rles in masks.items())


def _source(folder: str, pattern: re.Pattern[str], parse: Parser) -> Source:
    return Source(partial(read_lisa_plus, folder=folder, pattern=pattern, parse=parse), ('train',))


SOURCES = {
    'lisa_plus_cot': _source('LISA_Plus_COT', MENTION, _parse_reasoning),
    'lisa_plus_instance': _source('LISA_Plus_Instance_Seg', INSTANCE, _parse_instances),
}
