"""The metrics: the published numbers, and each special case of their authors worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from instructsam_model.masks import Rle
from instructsam_training.evaluation.benchmark import BENCHMARKS, LISA, MASK_ONLY, RELEASED
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.report.report import strata_of
from instructsam_training.evaluation.scoring import IouRule, Judged, judge
from tests.support import GOLDEN

GOLDEN = GOLDEN / 'metrics.json'
Ask = Callable[..., Question]
Reply = Callable[..., Answer]
Run = Callable[[int, int], Rle]


def value(name: str, judged: Judged, weights: list[float] | None = None) -> float:
    return METRICS[name](judged, np.ones(len(judged.iou)) if weights is None else np.array(weights, dtype=float))


def published() -> tuple[Judged, dict[str, dict[str, float]]]:
    content = json.loads(GOLDEN.read_text())
    pairs = [
        (
            Question(str(record['query_id']), Path('x'), (120, 160), 'phrase', 'x', tuple(record['gt_rles'])),
            Answer(str(record['query_id']), tuple(record['pred_rles']), tuple(record['pred_scores'])),
        )
        for record in content['records']
    ]
    expected = content['expected']
    return judge(pairs, 0.0, IouRule()), {'overall': expected['overall'], **expected['by_num_objects']}


@pytest.mark.parametrize('part', ['overall', '0', '1', '>=2'])
def test_published_numbers(part: str) -> None:
    judged, expected = published()
    targets = strata_of(judged, BENCHMARKS['inst2seg'])['targets']
    weights = targets.get(part, np.ones(len(judged.iou)))
    for name, key in {'mAP': 'mAP', 'AP50': 'AP50', 'AP75': 'AP75', 'gIoU': 'giou', 'cIoU': 'ciou'}.items():
        assert METRICS[name](judged, weights) == pytest.approx(expected[part][key], abs=1e-6)
    assert weights.sum() == expected[part]['num_samples']


def test_a_weight_of_two_is_the_question_twice(question: Ask, answer: Reply, run: Run) -> None:
    pairs = [
        (question('a', run(0, 10)), answer('a', (run(2, 10), 0.9))),
        (question('b', run(0, 10), run(50, 10)), answer('b', (run(0, 9), 0.8), (run(70, 5), 0.7))),
        (question('c'), answer('c', (run(0, 4), 0.6))),
    ]
    weighted = judge(pairs, 0.3, IouRule())
    twice = judge([*pairs, pairs[0]], 0.3, IouRule())
    for name in METRICS:
        assert value(name, weighted, [2, 1, 1]) == pytest.approx(value(name, twice), nan_ok=True)


@pytest.mark.parametrize(
    ('rule', 'giou', 'ciou'),
    [(IouRule(), 1.0, 0.0), (LISA, 1.0, 0.0), (RELEASED, 0.0, 0.0), (MASK_ONLY, 0.0, 0.0)],
)
def test_nothing_found_where_nothing_is(question: Ask, answer: Reply, rule: IouRule, giou: float, ciou: float) -> None:
    judged = judge([(question('a'), answer('a'))], 0.3, rule)
    assert (value('gIoU', judged), value('cIoU', judged)) == (giou, ciou)


def test_a_false_alarm_adds_its_pixels_to_the_union(question: Ask, answer: Reply, run: Run) -> None:
    pairs = [
        (question('a', run(0, 10)), answer('a', (run(0, 10), 0.9))), (question('b'), answer('b', (run(0, 30), 0.9)))
    ]  # fmt: skip
    judged = judge(pairs, 0.3, IouRule())
    assert value('gIoU', judged) == 0.5
    assert value('cIoU', judged) == 10 / 40


def test_pixels_to_ignore_count_for_nothing(question: Ask, answer: Reply, run: Run) -> None:
    # Target 0..10, answer 5..20; 8..12 is ignored, of both.
    judged = judge([(question('a', run(0, 10), ignore=run(8, 4)), answer('a', (run(5, 15), 0.9)))], 0.3, LISA)
    assert value('gIoU', judged) == pytest.approx(3 / (16 + 1e-5))
    assert value('cIoU', judged) == 3 / 16
    everything = judge([(question('a', run(0, 10), ignore=run(0, 100)), answer('a', (run(5, 15), 0.9)))], 0.3, LISA)
    assert value('gIoU', everything) == 1.0


def test_predictions_at_the_threshold_are_left_out(question: Ask, answer: Reply, run: Run) -> None:
    pairs = [(question('a', run(0, 10)), answer('a', (run(0, 10), 0.31), (run(50, 10), 0.3)))]
    assert value('gIoU', judge(pairs, 0.3, IouRule())) == 1.0
    assert value('gIoU', judge(pairs, 0.29, IouRule())) == 0.5
    assert value('gIoU', judge(pairs, 0.31, IouRule())) == 0.0


def test_gres(question: Ask, answer: Reply, run: Run) -> None:
    pairs = [
        (question('no, said no'), answer('no, said no')),
        (question('no, found'), answer('no, found', (run(0, 5), 0.9))),
        (question('no, an empty mask'), answer('no, an empty mask', (run(0, 0), 0.9))),
        (question('yes, found', run(0, 10)), answer('yes, found', (run(0, 7), 0.9))),
        (question('yes, said no', run(0, 10)), answer('yes, said no')),
    ]
    judged = judge(pairs, 0.3, IouRule())
    assert value('N-acc', judged) == pytest.approx(2 / 3)
    assert value('T-acc', judged) == 1 / 2
    assert value('gIoU', judged) == pytest.approx((1 + 0 + 1 + 0.7 + 0) / 5)
    assert value('cIoU', judged) == 7 / (5 + 10 + 10)
    # Pr@ asks for at least the threshold, of the questions with a target alone.
    assert [value(f'Pr@{threshold}', judged) for threshold in (0.5, 0.7, 0.8)] == [0.5, 0.5, 0.0]
    assert value('accuracy', judged) == 3 / 5


def test_boxes(question: Ask, answer: Reply, run: Run) -> None:
    pairs = [
        # Around everything that was predicted: 0..20 against 0..10.
        (question('around all', run(0, 10)), answer('around all', (run(0, 2), 0.9), (run(18, 2), 0.8))),
        (question('published box', run(0, 10), box_xyxy=(0, 0, 20, 1)), answer('published box', (run(0, 20), 0.9))),
        (question('not found', run(0, 10)), answer('not found')),
        (question('no target'), answer('no target', (run(0, 10), 0.9))),
    ]
    judged = judge(pairs, 0.3, MASK_ONLY)
    assert value('box Acc@0.5', judged) == 1 / 3
    assert value('box mIoU', judged) == pytest.approx((0.5 + 1 + 0) / 3)


def test_no_question_says_nothing(question: Ask, answer: Reply, run: Run) -> None:
    judged = judge([(question('a', run(0, 10)), answer('a'))], 0.3, IouRule())
    assert np.isnan(value('N-acc', judged))
    assert np.isnan(value('gIoU', judged, [0]))
    assert np.isnan(value('mAP', judged, [0]))
    assert value('mAP', judged) == 0.0
