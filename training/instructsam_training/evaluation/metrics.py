"""The metrics: functions of scored predictions and one weight for each query.

A metric is NaN when it is undefined, for example the N-acc of queries that all have targets.

Notation: Q queries, N predictions above the score threshold, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions

Metric = Callable[[ScoredPredictions, FloatArray], float]


def giou(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Mean IoU of the queries: gIoU of LISA and GRES, mIoU of RefTR (`seg_miou`), LAVT and GSEval."""
    return _mean(scored.iou, weights)


def giou_of_answers(scored: ScoredPredictions, weights: FloatArray) -> float:
    """GIoU in which an empty answer to a query without a target is right: 1 (GRES), whatever the benchmark's rule."""
    ones = np.ones(len(scored.queries))
    return _mean(np.divide(scored.intersection, scored.union, out=ones, where=scored.union > 0), weights)


def half_overlap(scored: ScoredPredictions, weights: FloatArray) -> float:
    """P@50 of SAM3-I: share of all queries, also of those without a target, with an IoU of at least 0.5."""
    return _mean(scored.iou >= 0.5, weights)


def ciou(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Sum of intersections over sum of unions: cIoU of LISA and GRES, oIoU of RefCOCO."""
    return _ratio(scored.intersection, scored.union, weights)


def accuracy(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Share of queries with an IoU above 0.5; an empty prediction for a query without a target is correct."""
    return _mean(scored.iou > 0.5, weights)


def precision(scored: ScoredPredictions, weights: FloatArray, *, threshold: float) -> float:
    """Pr@: share of the queries with a target whose IoU is at least the threshold.

    "At least", as in `refer_evaluation.py` of ReLA and `test.py` of LAVT; boxes are compared with "above".
    """
    return _mean(scored.iou >= threshold, weights * (scored.target_count > 0))


def no_target_accuracy(scored: ScoredPredictions, weights: FloatArray) -> float:
    """N-acc of GRES: share of the queries without a target that have an empty prediction."""
    return _mean(scored.prediction_count == 0, weights * (scored.target_count == 0))


def target_accuracy(scored: ScoredPredictions, weights: FloatArray) -> float:
    """T-acc of GRES: share of the queries with a target that have a non-empty prediction."""
    return _mean(scored.prediction_count > 0, weights * (scored.target_count > 0))


def box_accuracy(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Share of boxes with an IoU above 0.5, 0.5 itself excluded (RefTR's `engine_vg.evaluate`, `accuracy_iou0.5`)."""
    return _mean(scored.box_iou > 0.5, weights * (scored.target_count > 0))


def box_miou(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Mean IoU of boxes (RefTR, `miou`)."""
    return _mean(np.nan_to_num(scored.box_iou), weights * (scored.target_count > 0))


def average_precision(scored: ScoredPredictions, weights: FloatArray) -> FloatArray:
    """The paper's average precision at each IoU threshold, float64 (T,); 0 without targets.

    All predictions of all queries are ranked together. Precision is made monotone and the area is taken at every
    change of recall, as by Pascal VOC from 2010 on: not at COCO's 101 points, and with no limit to the number of
    predictions. A query of weight w counts as w copies of it, which are adjacent in the ranking.
    """
    target_count = float((weights * scored.target_count).sum())
    # A prediction has the weight of its query.
    weight = weights[scored.query_index][:, None]  # (N, 1)
    if not target_count or not weight.any():
        return np.zeros(len(IOU_THRESHOLDS))
    true_positives = (weight * scored.is_true_positive).cumsum(axis=0)  # (N, T)
    rank = weight.cumsum(axis=0)  # (N, 1)
    precisions = np.divide(true_positives, rank, out=np.zeros_like(true_positives), where=rank > 0)
    # Precision at each rank becomes the best precision at this or a higher recall.
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]  # (N, T)
    # Area under the envelope: recall grows by one target at each true positive and nowhere else.
    areas: FloatArray = (envelope * scored.is_true_positive * weight).sum(axis=0) / target_count
    return areas


def mean_average_precision(scored: ScoredPredictions, weights: FloatArray) -> float:
    """Mean of `average_precision` over the thresholds."""
    return float(average_precision(scored, weights).mean()) if weights.any() else float('nan')


def average_precision_at(scored: ScoredPredictions, weights: FloatArray, *, threshold: float) -> float:
    """`average_precision` at one threshold."""
    values = average_precision(scored, weights)
    return float(values[IOU_THRESHOLDS.index(threshold)]) if weights.any() else float('nan')


METRICS: Mapping[str, Metric] = {
    'mAP': mean_average_precision,
    'AP50': partial(average_precision_at, threshold=0.5),
    'AP75': partial(average_precision_at, threshold=0.75),
    'gIoU': giou,
    'cIoU': ciou,
    'mIoU': giou,
    'accuracy': accuracy,
    'N-acc': no_target_accuracy,
    'T-acc': target_accuracy,
    'gIoU, empty is right': giou_of_answers,
    'P@50': half_overlap,
    **{f'Pr@{threshold}': partial(precision, threshold=threshold) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9)},
    'box Acc@0.5': box_accuracy,
    'box mIoU': box_miou,
}


def _mean(values: FloatArray | np.ndarray, weights: FloatArray) -> float:
    return _ratio(values, np.ones(len(weights)), weights)


def _ratio(numerators: FloatArray | np.ndarray, denominators: FloatArray, weights: FloatArray) -> float:
    # No query: undefined. Queries whose denominators are all 0, such as empty unions: 0.
    if not weights.any():
        return float('nan')
    total = float((weights * denominators).sum())
    return float((weights * numerators).sum()) / total if total else 0.0
