"""Bootstrap confidence intervals: repeatable, and computed over images, not queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from instructsam_model.masks import Rle
from instructsam_training.evaluation.bootstrap import confidence_intervals, difference_interval
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.scoring import IouRule, ScoredPredictions, score

MakeScored = Callable[[int], ScoredPredictions]
NAMES = {name: METRICS[name] for name in ('gIoU', 'mAP', 'N-acc')}


@pytest.fixture
def half_right(
    query: Callable[..., Query], prediction: Callable[..., PredictedMasks], pixels: Callable[[int, int], Rle]
) -> MakeScored:
    """Make 64 queries, `about_each` per image; the predictions of every other image are right, the others empty."""

    def make(about_each: int) -> ScoredPredictions:
        pairs = []
        for number in range(64):
            image = number // about_each
            found = [(pixels(0, 10), 0.9)] if image % 2 else []
            pairs.append((query(number, pixels(0, 10), image=Path(str(image))), prediction(number, *found)))
        return score(pairs, 0.3, IouRule())

    return make


def test_interval_of_a_mean(half_right: MakeScored) -> None:
    low, high = confidence_intervals(half_right(1), NAMES)['gIoU']
    # Of 64 tosses of a coin: 0.5 +- 1.96 * 0.5 / 8.
    assert low == pytest.approx(0.3775, abs=0.03)
    assert high == pytest.approx(0.6225, abs=0.03)


def test_images_are_resampled_not_queries(
    half_right: MakeScored,
) -> None:
    single, together = (confidence_intervals(half_right(count), NAMES)['gIoU'] for count in (1, 8))
    assert together[1] - together[0] > 2 * (single[1] - single[0])


def test_seed_determines_the_intervals(half_right: MakeScored) -> None:
    scored = half_right(4)
    assert confidence_intervals(scored, NAMES, resamples=50) == confidence_intervals(scored, NAMES, resamples=50)
    assert confidence_intervals(scored, NAMES, resamples=50, seed=1) != confidence_intervals(
        scored, NAMES, resamples=50
    )


def test_undefined_metrics_have_no_interval(half_right: MakeScored) -> None:
    assert 'N-acc' not in confidence_intervals(half_right(8), NAMES, resamples=10)


def test_difference_interval_uses_the_same_images_for_both(
    half_right: MakeScored,
) -> None:
    scored = half_right(4)
    worse = replace(scored, iou=scored.iou * 0.9)
    low, high = difference_interval(scored, worse, METRICS['gIoU'])
    alone = confidence_intervals(scored, NAMES)['gIoU']
    assert 0 < low < 0.05 < high < 0.1
    assert high - low < 0.2 * (alone[1] - alone[0])
    assert difference_interval(scored, scored, METRICS['gIoU']) == (0, 0)
    with pytest.raises(ValueError, match='same queries'):
        difference_interval(scored, replace(scored, queries=scored.queries[1:]), METRICS['gIoU'])
