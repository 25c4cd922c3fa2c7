"""`ScoredPredictions`: all queries and their predictions as arrays, from which every metric is a weighted sum.

A weight of 0 or 1 for each query selects a stratum; counts as weights are a bootstrap sample.

Notation: Q queries, N predictions above the score threshold, T IoU thresholds (`overlap.IOU_THRESHOLDS`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle
from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS, QueryMasks, QueryOverlap, compute_overlap
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IouRule:
    """Definition of the IoU of a query: intersection / (union + epsilon).

    Attributes:
        empty: IoU of a query without a target if nothing is predicted.
        epsilon: pixels.
    """

    empty: float = 1.0
    epsilon: float = 0.0

    def iou(self, intersection: float, union: float) -> float:
        """Return the IoU of one query."""
        return intersection / (union + self.epsilon) if union else self.empty


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Queries and predictions as arrays.

    Attributes:
        queries: Q queries.
        intersection: float64 (Q,), pixels of all predictions merged and all targets merged.
        union: float64 (Q,), likewise.
        iou: float64 (Q,), by the benchmark's rule.
        box_iou: float64 (Q,), of the boxes around all predictions and all targets; NaN without a target.
        target_count: float64 (Q,).
        prediction_count: float64 (Q,), predictions above the score threshold that cover at least one pixel.
        query_index: int64 (N,), query of each prediction; predictions of all queries together, best score first.
        is_true_positive: bool (N, T), whether the prediction matches a target of its own.
    """

    queries: tuple[Query, ...]
    intersection: FloatArray
    union: FloatArray
    iou: FloatArray
    box_iou: FloatArray
    target_count: FloatArray
    prediction_count: FloatArray
    query_index: NDArray[np.int64]
    is_true_positive: NDArray[np.bool_]

    @property
    def ones(self) -> FloatArray:
        """Weight of 1 for each query: float64 (Q,)."""
        return np.ones(len(self.queries))


def score(pairs: Iterable[tuple[Query, PredictedMasks]], min_score: float, rule: IouRule) -> ScoredPredictions:
    """Compare predictions with targets.

    Args:
        pairs: each query once, with its prediction.
        min_score: predictions with this score or a lower one are dropped.
        rule: how the IoU of a query is computed.

    Raises:
        ValueError: a mask differs in size from its query's image.
    """
    queries: list[Query] = []
    masks: list[QueryMasks] = []
    overlaps: list[QueryOverlap] = []
    for query, prediction in pairs:
        queries.append(query)
        masks.append(_select_masks(query, prediction, min_score))
        overlaps.append(compute_overlap(masks[-1]))
    # One ranking of the predictions of all queries, best score first; equal scores keep the order of the queries.
    scores = np.concatenate([overlap.scores for overlap in overlaps] or [np.empty(0)])
    # Query of each prediction: (N,).
    query_index = np.repeat(np.arange(len(overlaps)), [len(overlap.scores) for overlap in overlaps])
    # np.concatenate needs at least one array.
    no_predictions = np.empty((0, len(IOU_THRESHOLDS)), np.bool_)
    is_true_positive = np.concatenate([overlap.is_true_positive for overlap in overlaps] or [no_predictions])
    order = np.argsort(-scores, kind='stable')
    return ScoredPredictions(
        queries=tuple(queries),
        intersection=np.array([overlap.intersection for overlap in overlaps]),
        union=np.array([overlap.union for overlap in overlaps]),
        iou=np.array([rule.iou(overlap.intersection, overlap.union) for overlap in overlaps]),
        box_iou=np.array([_box_iou(*pair) for pair in zip(queries, masks, strict=True)]),
        target_count=np.array([overlap.target_count for overlap in overlaps], dtype=np.float64),
        prediction_count=np.array([_count_nonempty(each.predictions) for each in masks], dtype=np.float64),
        query_index=query_index[order],
        is_true_positive=is_true_positive[order],
    )


def score_query(query: Query, prediction: PredictedMasks, min_score: float, rule: IouRule) -> float:
    """Return the IoU of one query."""
    overlap = compute_overlap(_select_masks(query, prediction, min_score))
    return rule.iou(overlap.intersection, overlap.union)


def _select_masks(query: Query, prediction: PredictedMasks, min_score: float) -> QueryMasks:
    kept = prediction.above(min_score)
    return QueryMasks(
        query.id, query.targets, tuple(mask for mask, _ in kept), tuple(score for _, score in kept), query.ignore
    )


def _count_nonempty(rles: Sequence[Rle]) -> int:
    return sum(not is_empty(rle) for rle in rles)


def _box_iou(query: Query, masks: QueryMasks) -> float:
    """IoU of the box around all predictions and the box around all targets; 0 without predictions."""
    if not masks.targets:
        return float('nan')
    if not _count_nonempty(masks.predictions):
        return 0.0  # an empty mask has no box
    # A published box takes precedence over the box around the published mask.
    target = np.array(query.box_xyxy) if query.box_xyxy is not None else _box_around(masks.targets)
    predicted = _box_around(masks.predictions)
    # Width and height of the intersection; negative if the boxes are apart.
    sides = np.minimum(target[2:], predicted[2:]) - np.maximum(target[:2], predicted[:2])
    intersection = float(sides.clip(0).prod())
    areas = float((target[2:] - target[:2]).prod() + (predicted[2:] - predicted[:2]).prod())
    return intersection / (areas - intersection)


def _box_around(rles: Sequence[Rle]) -> FloatArray:
    """x1, y1, x2, y2 of the smallest box around all masks; x2 and y2 exclusive."""
    x, y, width, height = coco_mask.toBbox(coco_mask.merge(list(rles))).tolist()
    return np.array([x, y, x + width, y + height])
