"""RoboAfford's questions about parts of objects (https://huggingface.co/datasets/tyb197/RoboAfford) on PACO-LVIS.

    <root>/object_affordance_prediction_absxy_561K.json
    <root>/annotations/paco_lvis_v1_train.json               or paco_lvis_v1_train.json
    <root>/train2017/000000000009.jpg                        images of COCO 2017

A record is `{"id", "image": "train2017/...", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}]}`;
an answer is a list of points in pixels, `[(x, y), ...]` (as public converters of the data set read it), without masks.
The target is found in PACO-LVIS: of all categories in the image, the one whose smallest instances contain all points.
How the authors of InstructSAM made their masks is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Sample, SkipReport
from instructsam_training.datasets.coco import CATEGORY_SETS, read_categories
from instructsam_training.datasets.io.files import find
from instructsam_training.datasets.io.image_key import image_key
from instructsam_training.datasets.io.records import iter_json
from instructsam_training.datasets.io.spans import read_turns
from instructsam_training.datasets.source import Source

QUESTIONS = 'object_affordance_prediction_absxy_561K.json'
POINT = re.compile(r'\(\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*\)')
FORMAT_REQUEST = re.compile(r'\s*Your answer should be formatted.*', re.DOTALL)
"""Asks for a list of points, which is not the answer here."""
MIN_SHARE_INSIDE = 0.8
"""Share of the points of an answer that its target contains; some lie on the border of a mask."""


def read_roboafford(root: Path, split: str, report: SkipReport, images: Path | None = None) -> Iterator[Sample]:
    """Yield one sample per image, one instruction per question.

    Args:
        root: folder with the questions and the annotations of PACO-LVIS.
        split: train or val of PACO-LVIS, in which the masks are.
        report: collects the questions that cannot be read, or whose target is not sure.
        images: folder of COCO's images; `root` if not given.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    if split not in CATEGORY_SETS['paco_lvis'].splits:
        raise ConfigError(f'split: expected one of {", ".join(CATEGORY_SETS["paco_lvis"].splits)}, got {split!r}')
    file = find(root, QUESTIONS)
    by_image: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, record in enumerate(iter_json(file)):
        if isinstance(record, dict) and isinstance(record.get('image'), str):
            by_image.setdefault(image_key(record['image']), []).append((index, record))
        else:
            report.skip(file, index, 'expected a record with image')
    yield from _samples(file, by_image, read_categories(root, split, report, images, name='paco_lvis'), report)


def _samples(
    file: Path,
    by_image: dict[str, list[tuple[int, Mapping[str, Any]]]],
    labeled: Iterator[Sample],
    report: SkipReport,
) -> Iterator[Sample]:
    for sample in labeled:
        annotations: list[Annotation] = []
        # What is left at the end are questions about images that PACO-LVIS does not have.
        records = by_image.pop(image_key(str(sample.image)), [])
        for index, record in records:
            for number, (question, answer) in enumerate(_questions(file, index, record, report)):
                # Turns alternate: question 0 is turn 0, question 1 is turn 2.
                try:
                    annotations.append(_annotation(question, answer, sample))
                except ValueError as error:
                    report.skip(file, f'{index}.conversations.{2 * number}', str(error))
        if annotations:
            source = f'{file}[{records[0][0]}]'
            yield Sample(sample.image, sample.size_hw, tuple(annotations), source=source, id=sample.id)
    for name, records in by_image.items():
        for index, _ in records:
            report.skip(file, index, f'expected the image {name} in the annotations of PACO-LVIS, found none')


def _questions(file: Path, index: int, record: Mapping[str, Any], report: SkipReport) -> list[tuple[str, str]]:
    """Pairs of question and answer of a record."""
    try:
        questions = read_turns(record.get('conversations'))
        if not questions:
            raise ValueError('expected a question and its answer, found none')
    except ValueError as error:
        report.skip(file, index, f'conversations: {error}')
        return []
    return questions


def _annotation(question: str, answer: str, sample: Sample) -> Annotation:
    points_xy = np.array([[float(x), float(y)] for x, y in POINT.findall(answer)])
    if not len(points_xy):
        raise ValueError(f'expected an answer with points (x, y), got {answer[:60]!r}')
    # The question names no category; its points do.
    phrase, masks = _target(points_xy, sample.annotations)
    # The answer here is a phrase with masks, not a list of points.
    text = FORMAT_REQUEST.sub('', question).strip()
    return Annotation('sentence', text, phrase, masks)


def _target(points_xy: np.ndarray[Any, Any], labeled: Sequence[Annotation]) -> tuple[str, tuple[Rle, ...]]:
    """Name and masks of the instances that contain the points: those of the category whose masks are smallest there."""
    best: tuple[float, str, tuple[Rle, ...]] | None = None
    for annotation in labeled:
        inside = [_inside(points_xy, rle) for rle in annotation.masks]
        hit = [rle for rle, points in zip(annotation.masks, inside, strict=True) if points.any()]
        # A point in any of the instances counts: (instances, points) to (points,).
        if not hit or np.any(inside, axis=0).mean() < MIN_SHARE_INSIDE:
            continue
        # A part lies in its object, so the object contains the points too: the smaller one is meant.
        area = float(sum(coco_mask.area(rle) for rle in hit))
        if best is None or area < best[0]:
            best = area, annotation.phrase, tuple(hit)
    if best is None:
        raise ValueError('expected a category of PACO-LVIS whose masks contain the points of the answer, found none')
    return best[1], best[2]


def _inside(points_xy: np.ndarray[Any, Any], rle: Rle) -> np.ndarray[Any, Any]:
    """Whether each point lies in a mask, bool (N,)."""
    mask = coco_mask.decode(rle)
    height, width = mask.shape
    # A point lies in the pixel of its whole part; points outside of the image are in no mask.
    columns, rows = np.floor(points_xy).astype(np.int64).T
    within = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    return np.asarray(within & (mask[rows.clip(0, height - 1), columns.clip(0, width - 1)] > 0))


SOURCES = {'roboafford_paco': Source(read_roboafford, CATEGORY_SETS['paco_lvis'].splits)}
