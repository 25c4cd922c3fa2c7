"""Bootstrap intervals: repeatable, and as wide as pictures, not questions, allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from instructsam_model.masks import Rle
from instructsam_training.evaluation.bootstrap import gain, intervals
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.scoring import IouRule, Judged, judge

NAMES = {name: METRICS[name] for name in ('gIoU', 'mAP', 'N-acc')}


@pytest.fixture
def half_right(
    question: Callable[..., Question], answer: Callable[..., Answer], run: Callable[[int, int], Rle]
) -> Callable[[int], Judged]:
    """64 questions, half of them answered; so many about each picture, all of them right or all wrong."""

    def make(about_each: int) -> Judged:
        pairs = []
        for number in range(64):
            picture = number // about_each
            found = [(run(0, 10), 0.9)] if picture % 2 else []
            pairs.append((question(number, run(0, 10), image=Path(str(picture))), answer(number, *found)))
        return judge(pairs, 0.3, IouRule())

    return make


def test_the_interval_of_a_share(half_right: Callable[[int], Judged]) -> None:
    low, high = intervals(half_right(1), NAMES)['gIoU']
    # Of 64 tosses of a coin: 0.5 +- 1.96 * 0.5 / 8.
    assert low == pytest.approx(0.3775, abs=0.03)
    assert high == pytest.approx(0.6225, abs=0.03)


def test_questions_about_one_picture_are_no_independent_evidence(half_right: Callable[[int], Judged]) -> None:
    single, together = (intervals(half_right(count), NAMES)['gIoU'] for count in (1, 8))
    assert together[1] - together[0] > 2 * (single[1] - single[0])


def test_the_seed_decides(half_right: Callable[[int], Judged]) -> None:
    judged = half_right(4)
    assert intervals(judged, NAMES, draws=50) == intervals(judged, NAMES, draws=50)
    assert intervals(judged, NAMES, draws=50, seed=1) != intervals(judged, NAMES, draws=50)


def test_what_is_undefined_has_no_interval(half_right: Callable[[int], Judged]) -> None:
    assert 'N-acc' not in intervals(half_right(8), NAMES, draws=10)


def test_the_gain_over_other_answers_leaves_out_what_is_hard_for_both(half_right: Callable[[int], Judged]) -> None:
    judged = half_right(4)
    worse = replace(judged, iou=judged.iou * 0.9)
    low, high = gain(judged, worse, METRICS['gIoU'])
    alone = intervals(judged, NAMES)['gIoU']
    assert 0 < low < 0.05 < high < 0.1
    assert high - low < 0.2 * (alone[1] - alone[0])
    assert gain(judged, judged, METRICS['gIoU']) == (0, 0)
    with pytest.raises(ValueError, match='same questions'):
        gain(judged, replace(judged, questions=judged.questions[1:]), METRICS['gIoU'])
