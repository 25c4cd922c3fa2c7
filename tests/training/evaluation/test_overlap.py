"""Overlap of the masks of one query, in cases small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS, QueryMasks, compute_overlap

MakeMask = Callable[[int, int], Rle]


def true_positives(targets: list[Rle], *predictions: tuple[Rle, float]) -> list[int]:
    """The number of thresholds at which each prediction is a true positive, best score first."""
    masks = QueryMasks(
        0, tuple(targets), tuple(rle for rle, _ in predictions), tuple(score for _, score in predictions)
    )
    return compute_overlap(masks).is_true_positive.sum(axis=1).tolist()


def test_intersection_and_union_are_of_merged_masks(pixels: MakeMask) -> None:
    targets, predictions = (pixels(0, 10), pixels(20, 10)), (pixels(0, 15), pixels(15, 15))
    overlap = compute_overlap(QueryMasks(0, targets, predictions, (0.8, 0.9), ignore=pixels(0, 2)))
    assert (overlap.intersection, overlap.union) == (18, 28)
    assert overlap.scores.tolist() == [0.9, 0.8]
    assert overlap.target_count == 2


def test_iou_at_the_threshold_is_a_true_positive(pixels: MakeMask) -> None:
    # 15 of 20 pixels: 0.50 to 0.75 are reached, 0.80 is not.
    assert IOU_THRESHOLDS[5] == 0.75
    assert true_positives([pixels(0, 20)], (pixels(0, 15), 0.9)) == [6]


def test_prediction_takes_the_best_unmatched_target(pixels: MakeMask) -> None:
    # `wide` overlaps both targets and takes the better one; `narrow` overlaps that one only.
    left, right = pixels(0, 10), pixels(10, 6)
    wide, narrow = pixels(0, 16), pixels(2, 8)
    assert true_positives([left, right], (wide, 0.9), (narrow, 0.8)) == [3, 4]
    assert np.array(true_positives([left, right], (right, 0.9), (wide, 0.8))).tolist() == [10, 3]


def test_false_positive_leaves_its_target_unmatched(pixels: MakeMask) -> None:
    # At 0.85 and above the first (IoU 0.8) is a false positive, and the second (IoU 1.0) matches the target.
    assert true_positives([pixels(0, 10)], (pixels(0, 8), 0.9), (pixels(0, 10), 0.8)) == [7, 3]


def test_no_predictions_and_no_targets(pixels: MakeMask) -> None:
    assert compute_overlap(QueryMasks(0, (pixels(0, 10),), (), ())).is_true_positive.shape == (0, len(IOU_THRESHOLDS))
    assert true_positives([], (pixels(0, 10), 0.9)) == [0]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'scores': ()}, 'query 7: expected a score for each of 1 predictions, got 0'),
        ({'scores': (float('nan'),)}, 'expected finite scores'),
        (
            {'targets': (encode_rle(np.ones((2, 2), bool)),)},
            r'expected masks of one size, got \[\(1, 100\), \(2, 2\)\]',
        ),
    ],
)
def test_invalid_masks_are_errors(changes: dict[str, tuple[object, ...]], message: str, pixels: MakeMask) -> None:
    masks = QueryMasks(7, (pixels(0, 10),), (pixels(0, 10),), (0.9,))
    with pytest.raises(ValueError, match=message):
        replace(masks, **changes)
