"""Overlap of the predicted and the ground-truth masks of one query.

The definitions are those of the public evaluation of Inst2Seg and gRefCOCO, so that numbers compare. Everything is
computed on run-length encodings; no mask is decoded.

Notation: N predictions and M targets (ground-truth masks) of one query, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle

IOU_THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.50, 0.55, ..., 0.95: a prediction is a true positive if its IoU is at least the threshold."""


@dataclass(frozen=True)
class QueryMasks:
    """Ground-truth and predicted masks of one query.

    Attributes:
        query_id: unique in the data set.
        targets: ground-truth masks, one an instance; empty when nothing in the image matches the query.
        predictions: predicted masks above the score threshold, in any order.
        scores: confidence of each prediction.
        ignore: pixels that are excluded from the IoU; average precision does not use them.

    Raises:
        ValueError: the number of scores and predictions differs, a score is not finite, or the masks differ in size.
    """

    query_id: int | str
    targets: tuple[Rle, ...]
    predictions: tuple[Rle, ...]
    scores: tuple[float, ...]
    ignore: Rle | None = None

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.predictions):
            raise ValueError(
                f'query {self.query_id}: expected a score for each of {len(self.predictions)} predictions, '
                f'got {len(self.scores)}'
            )
        if not np.isfinite(self.scores).all():
            raise ValueError(f'query {self.query_id}: expected finite scores, got {self.scores}')
        # pycocotools does not check sizes: masks of different sizes would give a wrong overlap.
        masks = [*self.targets, *self.predictions] + ([] if self.ignore is None else [self.ignore])
        sizes = {tuple(rle['size']) for rle in masks}
        if len(sizes) > 1:
            raise ValueError(f'query {self.query_id}: expected masks of one size, got {sorted(sizes)}')


@dataclass(frozen=True, eq=False)
class QueryOverlap:
    """Overlap of the predictions and the targets of one query, from which all metrics are computed.

    Attributes:
        intersection: pixels in at least one prediction and at least one target.
        union: pixels in at least one prediction or target.
        scores: float64 (N,), highest first.
        is_true_positive: bool (N, T), whether the prediction matches a target of its own at the threshold.
        target_count: M.
    """

    intersection: float
    union: float
    scores: NDArray[np.float64]
    is_true_positive: NDArray[np.bool_]
    target_count: int


def compute_overlap(masks: QueryMasks) -> QueryOverlap:
    """Compare the predictions of a query with its targets."""
    # Best score first; a stable sort keeps the order of equal scores.
    scores = np.asarray(masks.scores, dtype=np.float64)
    order = np.argsort(-scores, kind='stable')
    predictions = [masks.predictions[index] for index in order]
    intersection, union = _union_overlap(predictions, masks.targets, masks.ignore)
    ious = np.zeros((len(predictions), len(masks.targets)))  # (N, M)
    if ious.size:
        # The third argument is `iscrowd`: 0 for the ordinary IoU.
        ious = coco_mask.iou(predictions, list(masks.targets), [0] * len(masks.targets))
    return QueryOverlap(intersection, union, scores[order], _match(ious), len(masks.targets))


def _union_overlap(predictions: Sequence[Rle], targets: Sequence[Rle], ignore: Rle | None) -> tuple[float, float]:
    """Intersection and union, in pixels, of all predictions merged with all targets merged, outside of `ignore`."""
    all_masks = [*predictions, *targets]
    union = _area_outside(coco_mask.merge(all_masks), ignore) if all_masks else 0.0
    if not predictions or not targets:
        return 0.0, union
    # Merge within each side first, so that overlapping instances are not counted twice.
    both = coco_mask.merge([coco_mask.merge(list(predictions)), coco_mask.merge(list(targets))], intersect=True)
    return _area_outside(both, ignore), union


def _area_outside(rle: Rle, ignore: Rle | None) -> float:
    """Pixels that a mask covers outside of `ignore`."""
    # RLEs have no difference, so the part inside is subtracted.
    inside = 0 if ignore is None else coco_mask.area(coco_mask.merge([rle, ignore], intersect=True))
    return float(coco_mask.area(rle)) - float(inside)


def _match(ious: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Match predictions to targets greedily: each prediction, best score first, takes the best unmatched target.

    Args:
        ious: (N, M), predictions with the highest score first.

    Returns:
        bool (N, T), true positives. A prediction below the threshold is a false positive and leaves its target
        unmatched.
    """
    thresholds = np.array(IOU_THRESHOLDS)
    is_true_positive = np.zeros((len(ious), len(thresholds)), dtype=np.bool_)
    if not ious.size:
        return is_true_positive
    # Whether a target has a prediction already, at each threshold: (T, M).
    is_matched = np.zeros((len(thresholds), ious.shape[1]), dtype=np.bool_)
    rows = np.arange(len(thresholds))
    # Each threshold matches independently, so all of them are matched at once.
    for prediction_ious, is_positive in zip(ious, is_true_positive, strict=True):
        free_ious = np.where(is_matched, -1.0, prediction_ious)  # (T, M)
        best = free_ious.argmax(axis=1)  # (T,) index of a target
        is_positive[:] = free_ious[rows, best] >= thresholds
        is_matched[rows[is_positive], best[is_positive]] = True
    return is_true_positive
