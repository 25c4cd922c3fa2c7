"""COCO's average precision, by pycocotools: all predictions, whatever they score.

Unlike the paper's it is not cut off at a score, so that it says how well predictions are ranked, and it takes the area
at 101 points of recall (Lin et al., "Microsoft COCO", 2014; pycocotools `COCOeval`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question


def coco_average_precision(pairs: Iterable[tuple[Question, Answer]]) -> dict[str, float | None]:
    """COCO's AP, AP50 and AP75 of masks, where each question is a picture and there is one category.

    Returns:
        0..1 by name; None where no question has a target.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (question, answer) in enumerate(pairs, 1):
        height, width = question.size_hw
        images.append({'id': number, 'height': height, 'width': width})
        for mask in question.targets:
            entry = {'id': len(annotations) + 1, 'image_id': number, 'category_id': 1, 'iscrowd': 0}
            annotations.append({**entry, 'segmentation': mask, 'area': float(coco_mask.area(mask)), 'bbox': [0] * 4})
        for mask, score in zip(answer.masks, answer.scores, strict=True):
            results.append({'image_id': number, 'category_id': 1, 'segmentation': mask, 'score': score})
    names = ('COCO AP', 'COCO AP50', 'COCO AP75')
    if not annotations:
        return dict.fromkeys(names)
    if not results:
        return dict.fromkeys(names, 0.0)
    return dict(zip(names, _evaluate(images, annotations, results), strict=True))


def _evaluate(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], results: list[dict[str, Any]]
) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        truth = COCO()
        truth.dataset = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'target'}]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:3]]
