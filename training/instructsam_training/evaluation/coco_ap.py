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


def coco_average_precision(
    pairs: Iterable[tuple[Query, PredictedMasks]], *, by_group: bool = False
) -> dict[str, float | None]:
    """Return COCO's AP, AP50 and AP75 of masks; each query is one COCO image.

    Args:
        pairs: each query with its prediction.
        by_group: the group of a query is its category, and the results are means over the categories, as COCO's;
            otherwise there is one category.

    Returns:
        0..1 by name; None if no query has a target.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    # Ids start at 1: pycocotools treats an annotation id of 0 as "no match".
    for number, (query, prediction) in enumerate(pairs, 1):
        height, width = query.size_hw
        category = categories.setdefault(query.group if by_group else '', len(categories) + 1)
        images.append({'id': number, 'height': height, 'width': width})
        for mask in query.targets:
            entry = {'id': len(annotations) + 1, 'image_id': number, 'category_id': category, 'iscrowd': 0}
            annotations.append({**entry, 'segmentation': mask, 'area': float(coco_mask.area(mask)), 'bbox': [0] * 4})
        for mask, score in zip(prediction.masks, prediction.scores, strict=True):
            results.append({'image_id': number, 'category_id': category, 'segmentation': mask, 'score': score})
    names = ('COCO AP', 'COCO AP50', 'COCO AP75')
    if not annotations:
        return dict.fromkeys(names)
    if not results:
        return dict.fromkeys(names, 0.0)
    return dict(zip(names, _run_cocoeval(images, annotations, results, [*categories.values()]), strict=True))


def _run_cocoeval(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    results: list[dict[str, Any]],
    categories: list[int],
) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress to stdout
        ground_truth = COCO()
        ground_truth.dataset = {
            'images': images,
            'annotations': annotations,
            'categories': [{'id': number, 'name': str(number)} for number in categories],
        }
        ground_truth.createIndex()
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # The first three of COCO's twelve numbers: AP, AP50 and AP75 of all areas, 100 predictions an image.
    return [float(value) for value in evaluation.stats[:3]]
