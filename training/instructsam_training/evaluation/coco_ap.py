"""COCO's average precision, computed by pycocotools from all predictions, without a score threshold.

Unlike the paper's average precision it is not truncated at a score, so it measures how well predictions are ranked; it
takes the area at 101 points of recall (Lin et al., "Microsoft COCO", 2014; pycocotools `COCOeval`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query


def coco_average_precision(pairs: Iterable[tuple[Query, PredictedMasks]]) -> dict[str, float | None]:
    """Return COCO's AP, AP50 and AP75 of masks; each query is one COCO image, and there is one category.

    Returns:
        0..1 by name; None if no query has a target.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (query, prediction) in enumerate(pairs, 1):
        height, width = query.size_hw
        images.append({'id': number, 'height': height, 'width': width})
        for mask in query.targets:
            entry = {'id': len(annotations) + 1, 'image_id': number, 'category_id': 1, 'iscrowd': 0}
            annotations.append({**entry, 'segmentation': mask, 'area': float(coco_mask.area(mask)), 'bbox': [0] * 4})
        for mask, score in zip(prediction.masks, prediction.scores, strict=True):
            results.append({'image_id': number, 'category_id': 1, 'segmentation': mask, 'score': score})
    names = ('COCO AP', 'COCO AP50', 'COCO AP75')
    if not annotations:
        return dict.fromkeys(names)
    if not results:
        return dict.fromkeys(names, 0.0)
    return dict(zip(names, _run_cocoeval(images, annotations, results), strict=True))


def _run_cocoeval(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], results: list[dict[str, Any]]
) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress to stdout
        ground_truth = COCO()
        ground_truth.dataset = {
            'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'target'}]
        }  # fmt: skip
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:3]]
