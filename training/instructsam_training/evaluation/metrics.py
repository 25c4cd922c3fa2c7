"""The metrics: functions of judged questions and a weight for each.

They are NaN where they say nothing, as a share of questions of which there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.scoring import Judged, Numbers

Metric = Callable[[Judged, Numbers], float]


def giou(judged: Judged, weights: Numbers) -> float:
    """Mean IoU of the questions: gIoU of LISA and GRES, mIoU of RefTR (`seg_miou`), LAVT and GSEval."""
    return _mean(judged.iou, weights)


def ciou(judged: Judged, weights: Numbers) -> float:
    """Intersections over unions, each summed over the questions: cIoU of LISA and GRES, oIoU of RefCOCO."""
    return _share(judged.intersection, judged.union, weights)


def accuracy(judged: Judged, weights: Numbers) -> float:
    """Share of questions with an IoU above 0.5; nothing found where there is nothing is right."""
    return _mean(judged.iou > 0.5, weights)


def precision(judged: Judged, weights: Numbers, *, threshold: float) -> float:
    """Pr@: share of the questions with a target whose IoU is at least the threshold.

    At least, not above, as `refer_evaluation.py` of ReLA and `test.py` of LAVT compare it; boxes are another matter.
    """
    return _mean(judged.iou >= threshold, weights * (judged.target_count > 0))


def no_target_accuracy(judged: Judged, weights: Numbers) -> float:
    """N-acc of GRES: share of the questions without a target for which nothing was found."""
    return _mean(judged.kept_count == 0, weights * (judged.target_count == 0))


def target_accuracy(judged: Judged, weights: Numbers) -> float:
    """T-acc of GRES: share of the questions with a target for which something was found."""
    return _mean(judged.kept_count > 0, weights * (judged.target_count > 0))


def box_accuracy(judged: Judged, weights: Numbers) -> float:
    """Share of boxes with an IoU above 0.5, not of 0.5 itself (RefTR's `engine_vg.evaluate`, `accuracy_iou0.5`)."""
    return _mean(judged.box_iou > 0.5, weights * (judged.target_count > 0))


def box_miou(judged: Judged, weights: Numbers) -> float:
    """Mean IoU of boxes (RefTR, `miou`)."""
    return _mean(np.nan_to_num(judged.box_iou), weights * (judged.target_count > 0))


def average_precision(judged: Judged, weights: Numbers) -> Numbers:
    """The paper's average precision at each threshold, as `metrics.evaluate` has it: float64 (T,); 0 without targets.

    A question of weight w counts as w of its kind; of equal scores its copies come together.
    """
    targets = float((weights * judged.target_count).sum())
    weight = weights[judged.owner][:, None]  # (N, 1)
    if not targets or not weight.any():
        return np.zeros(len(IOU_THRESHOLDS))
    found = (weight * judged.is_right).cumsum(axis=0)  # (N, T)
    ranked = weight.cumsum(axis=0)  # (N, 1)
    precisions = np.divide(found, ranked, out=np.zeros_like(found), where=ranked > 0)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    areas: Numbers = (envelope * judged.is_right * weight).sum(axis=0) / targets
    return areas


def mean_average_precision(judged: Judged, weights: Numbers) -> float:
    """Mean of `average_precision` over the thresholds."""
    return float(average_precision(judged, weights).mean()) if weights.any() else float('nan')


def average_precision_at(judged: Judged, weights: Numbers, *, threshold: float) -> float:
    """`average_precision` at one threshold."""
    values = average_precision(judged, weights)
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
    **{f'Pr@{threshold}': partial(precision, threshold=threshold) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9)},
    'box Acc@0.5': box_accuracy,
    'box mIoU': box_miou,
}


def _mean(values: Numbers | np.ndarray, weights: Numbers) -> float:
    return _share(values, np.ones(len(weights)), weights)


def _share(part: Numbers | np.ndarray, whole: Numbers, weights: Numbers) -> float:
    if not weights.any():
        return float('nan')
    total = float((weights * whole).sum())
    return float((weights * part).sum()) / total if total else 0.0
