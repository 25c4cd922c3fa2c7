"""The numbers of the public evaluation, and special cases worked out by hand. Covers scoring and strata."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.evaluation.benchmark import EMPTY_IS_WRONG, RELEASED_RULE
from instructsam_training.evaluation.benchmarks.reasonseg import LISA_RULE
from instructsam_training.evaluation.metrics import METRICS, average_precision
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.scoring import IouRule, ScoredPredictions, score
from instructsam_training.evaluation.strata import by_target_count
from tests.support import GOLDEN

GOLDEN = GOLDEN / 'metrics.json'
Pair = tuple[Query, PredictedMasks]
MakeQuery = Callable[..., Query]
MakePrediction = Callable[..., PredictedMasks]
MakeMask = Callable[[int, int], Rle]


def mask(first: int, count: int) -> Rle:
    """A mask of `count` pixels in a row of 100."""
    pixels = np.zeros((1, 100), dtype=bool)
    pixels[0, first : first + count] = True
    return encode_rle(pixels)


TARGET, OTHER = mask(0, 10), mask(50, 10)


def pair(number: int, targets: list[Rle], *predictions: tuple[Rle, float]) -> Pair:
    masks, scores = tuple(rle for rle, _ in predictions), tuple(each for _, each in predictions)
    query = Query(str(number), Path('x'), (1, 100), 'phrase', 'x', tuple(targets))
    return query, PredictedMasks(str(number), masks, scores)


def ap50(*pairs: Pair) -> float:
    return value('AP50', score(pairs, 0.0, IouRule()))


def value(name: str, scored: ScoredPredictions, weights: list[float] | None = None) -> float:
    return METRICS[name](scored, np.ones(len(scored.iou)) if weights is None else np.array(weights, dtype=float))


def golden_pairs() -> list[Pair]:
    return [
        (
            Query(str(record['query_id']), Path('x'), (120, 160), 'phrase', 'x', tuple(record['gt_rles'])),
            PredictedMasks(str(record['query_id']), tuple(record['pred_rles']), tuple(record['pred_scores'])),
        )
        for record in json.loads(GOLDEN.read_text())['records']
    ]


@pytest.mark.parametrize('stratum', ['overall', '0', '1', '>=2'])
def test_golden_numbers(stratum: str) -> None:
    # tests/golden/metrics.json: 60 queries and what the public evaluation computes for them, in single precision.
    content = json.loads(GOLDEN.read_text())['expected']
    expected = content['overall'] if stratum == 'overall' else content['by_num_objects'][stratum]
    scored = score(golden_pairs(), 0.0, IouRule())
    weights = by_target_count(scored).get(stratum, scored.ones)
    for name, key in {'mAP': 'mAP', 'AP50': 'AP50', 'AP75': 'AP75', 'gIoU': 'giou', 'cIoU': 'ciou'}.items():
        assert METRICS[name](scored, weights) == pytest.approx(expected[key], abs=1e-6)
    values = average_precision(scored, weights)
    assert values == pytest.approx([expected[f'AP@{threshold:.2f}'] for threshold in IOU_THRESHOLDS], abs=1e-6)
    assert weights.sum() == expected['num_samples']
    assert (weights * scored.target_count).sum() == expected['num_gt_instances']
    assert weights[scored.query_index].sum() == expected['num_pred_instances']


@pytest.mark.parametrize(
    ('pairs', 'giou', 'ciou'),
    [
        ([pair(0, [])], 1.0, 0.0),
        ([pair(0, [], (TARGET, 0.9))], 0.0, 0.0),
        ([pair(0, [TARGET])], 0.0, 0.0),
        ([pair(0, [TARGET], (TARGET, 0.9))], 1.0, 1.0),
        ([pair(0, [mask(0, 10)], (mask(5, 10), 0.9))], 5 / 15, 5 / 15),
        ([pair(0, [mask(0, 10), mask(20, 10)], (mask(0, 15), 0.9), (mask(15, 15), 0.8))], 20 / 30, 20 / 30),
        ([pair(0, [TARGET], (TARGET, 0.9)), pair(1, [], (OTHER, 0.9))], 1 / 2, 10 / 20),
        ([pair(0, [TARGET], (TARGET, 0.9)), pair(1, [])], 1.0, 1.0),
        ([pair(0, [mask(0, 90)], (mask(0, 90), 0.9)), pair(1, [TARGET])], 1 / 2, 90 / 100),
    ],
    ids=[
        'no target, no prediction', 'no target, a prediction', 'no prediction', 'perfect',
        'half beside', 'union of several', 'a false positive lowers both', 'a correct empty prediction raises gIoU',
        'large objects weigh more in cIoU',
    ],
)  # fmt: skip
def test_giou_and_ciou(pairs: list[Pair], giou: float, ciou: float) -> None:
    scored = score(pairs, 0.0, IouRule())
    assert value('gIoU', scored) == pytest.approx(giou)
    assert value('cIoU', scored) == pytest.approx(ciou)


@pytest.mark.parametrize(
    ('pairs', 'expected'),
    [
        ([pair(0, [])], 0.0),
        ([pair(0, [], (TARGET, 0.9))], 0.0),
        ([pair(0, [TARGET])], 0.0),
        ([pair(0, [TARGET], (TARGET, 0.1))], 1.0),
        ([pair(0, [TARGET], (TARGET, 0.9), (TARGET, 0.8))], 1.0),
        ([pair(0, [TARGET], (OTHER, 0.9), (TARGET, 0.8))], 1 / 2),
        ([pair(0, [TARGET], (TARGET, 0.8), (OTHER, 0.9))], 1 / 2),
        ([pair(0, [TARGET, OTHER], (TARGET, 0.9), (TARGET, 0.8), (OTHER, 0.7))], 1 / 2 * 1 + 1 / 2 * 2 / 3),
        ([pair(0, [TARGET, OTHER], (mask(20, 9), 0.9), (TARGET, 0.8), (OTHER, 0.7))], 2 / 3),
        ([pair(0, [TARGET], (TARGET, 0.9)), pair(1, [], (OTHER, 0.95))], 1 / 2),
        ([pair(0, [TARGET], (TARGET, 0.9)), pair(1, [], (OTHER, 0.5))], 1.0),
        ([pair(0, [TARGET], (OTHER, 0.9)), pair(1, [OTHER], (TARGET, 0.9))], 0.0),
        ([pair(0, [TARGET], (TARGET, 0.6)), pair(1, [TARGET], (OTHER, 0.7), (TARGET, 0.5))], 2 / 3),
    ],
    ids=[
        'no target', 'no target, false positive', 'no prediction', 'perfect', 'duplicate last', 'wrong first',
        'order of scores, not of the list', 'duplicate between', 'precision is made monotone',
        'false positive ranked first', 'false positive ranked last', 'targets are matched within a query',
        'one ranking for all',
    ],
)  # fmt: skip
def test_average_precision_at_half(pairs: list[Pair], expected: float) -> None:
    assert ap50(*pairs) == pytest.approx(expected)


def test_average_precision_of_each_threshold() -> None:
    # 15 of 20 pixels: a true positive at 0.50 to 0.75, a false one from 0.80 on.
    scored = score([pair(0, [mask(0, 20)], (mask(0, 15), 0.9))], 0.0, IouRule())
    assert average_precision(scored, scored.ones).tolist() == [1.0] * 6 + [0.0] * 4
    assert value('mAP', scored) == pytest.approx(0.6)


def test_equal_scores_keep_the_order_of_the_queries() -> None:
    right, wrong = pair(0, [TARGET], (TARGET, 0.5)), pair(1, [TARGET], (OTHER, 0.5))
    assert ap50(right, wrong) == pytest.approx(1 / 2 * 1)
    assert ap50(wrong, right) == pytest.approx(1 / 2 * 1 / 2)
    assert ap50(pair(0, [TARGET], (OTHER, 0.5), (TARGET, 0.5))) == pytest.approx(1 / 2)


def test_metrics_by_number_of_targets() -> None:
    scored = score(
        [
            pair(0, []),
            pair(1, [], (OTHER, 0.9)),
            pair(2, [TARGET], (TARGET, 0.8)),
            pair(3, [TARGET, OTHER], (OTHER, 0.7)),
            pair(4, [TARGET, OTHER, mask(80, 5)]),
        ],
        0.0,
        IouRule(),
    )
    strata = by_target_count(scored)
    assert {name: weights.sum() for name, weights in strata.items()} == {'0': 2, '1': 1, '>=2': 2}
    giou, ap = ([METRICS[name](scored, strata[each]) for each in ('0', '1', '>=2')] for name in ('gIoU', 'AP50'))
    assert giou == [0.5, 1.0, 0.25]
    assert ap == pytest.approx([0.0, 1.0, 1 / 5])
    assert value('AP50', scored) == pytest.approx(1 / 6 * 2 / 3 + 1 / 6 * 2 / 3)


def test_order_of_queries_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    distinct = iter(generator.permutation(200) / 200)
    pairs = [
        (query, replace(prediction, scores=tuple(next(distinct) for _ in prediction.scores)))
        for query, prediction in golden_pairs()
    ]
    shuffled = score([pairs[index] for index in generator.permutation(len(pairs))], 0.0, IouRule())
    ordered = score(pairs, 0.0, IouRule())
    assert value('gIoU', shuffled) == pytest.approx(value('gIoU', ordered))
    assert average_precision(shuffled, shuffled.ones) == pytest.approx(average_precision(ordered, ordered.ones))


def test_weight_of_two_equals_the_query_twice(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    pairs = [
        (query('a', pixels(0, 10)), prediction('a', (pixels(2, 10), 0.9))),
        (query('b', pixels(0, 10), pixels(50, 10)), prediction('b', (pixels(0, 9), 0.8), (pixels(70, 5), 0.7))),
        (query('c'), prediction('c', (pixels(0, 4), 0.6))),
    ]
    weighted = score(pairs, 0.3, IouRule())
    twice = score([*pairs, pairs[0]], 0.3, IouRule())
    for name in METRICS:
        assert value(name, weighted, [2, 1, 1]) == pytest.approx(value(name, twice), nan_ok=True)


@pytest.mark.parametrize(
    ('rule', 'giou', 'ciou'),
    [(IouRule(), 1.0, 0.0), (LISA_RULE, 1.0, 0.0), (RELEASED_RULE, 0.0, 0.0), (EMPTY_IS_WRONG, 0.0, 0.0)],
)
def test_empty_prediction_without_target(
    query: MakeQuery, prediction: MakePrediction, rule: IouRule, giou: float, ciou: float
) -> None:
    scored = score([(query('a'), prediction('a'))], 0.3, rule)
    assert (value('gIoU', scored), value('cIoU', scored)) == (giou, ciou)


def test_false_positive_adds_to_the_union(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    pairs = [
        (query('a', pixels(0, 10)), prediction('a', (pixels(0, 10), 0.9))),
        (query('b'), prediction('b', (pixels(0, 30), 0.9))),
    ]
    scored = score(pairs, 0.3, IouRule())
    assert value('gIoU', scored) == 0.5
    assert value('cIoU', scored) == 10 / 40


def test_ignored_pixels_are_not_counted(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    # Target 0..10, prediction 5..20; 8..12 is ignored, of both.
    scored = score(
        [(query('a', pixels(0, 10), ignore=pixels(8, 4)), prediction('a', (pixels(5, 15), 0.9)))], 0.3, LISA_RULE
    )
    assert value('gIoU', scored) == pytest.approx(3 / (16 + 1e-5))
    assert value('cIoU', scored) == 3 / 16
    everything = score(
        [(query('a', pixels(0, 10), ignore=pixels(0, 100)), prediction('a', (pixels(5, 15), 0.9)))], 0.3, LISA_RULE
    )
    assert value('gIoU', everything) == 1.0


def test_score_threshold_is_exclusive(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    pairs = [(query('a', pixels(0, 10)), prediction('a', (pixels(0, 10), 0.31), (pixels(50, 10), 0.3)))]
    assert value('gIoU', score(pairs, 0.3, IouRule())) == 1.0
    assert value('gIoU', score(pairs, 0.29, IouRule())) == 0.5
    assert value('gIoU', score(pairs, 0.31, IouRule())) == 0.0


def test_no_target_and_target_accuracy(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    pairs = [
        (query('no, said no'), prediction('no, said no')),
        (query('no, found'), prediction('no, found', (pixels(0, 5), 0.9))),
        (query('no, an empty mask'), prediction('no, an empty mask', (pixels(0, 0), 0.9))),
        (query('yes, found', pixels(0, 10)), prediction('yes, found', (pixels(0, 7), 0.9))),
        (query('yes, said no', pixels(0, 10)), prediction('yes, said no')),
    ]
    scored = score(pairs, 0.3, IouRule())
    assert value('N-acc', scored) == pytest.approx(2 / 3)
    assert value('T-acc', scored) == 1 / 2
    assert value('gIoU', scored) == pytest.approx((1 + 0 + 1 + 0.7 + 0) / 5)
    assert value('cIoU', scored) == 7 / (5 + 10 + 10)
    # Pr@: an IoU of at least the threshold, over the queries with a target.
    assert [value(f'Pr@{threshold}', scored) for threshold in (0.5, 0.7, 0.8)] == [0.5, 0.5, 0.0]
    assert value('accuracy', scored) == 3 / 5


def test_box_metrics(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    pairs = [
        # Around everything that was predicted: 0..20 against 0..10.
        (query('around all', pixels(0, 10)), prediction('around all', (pixels(0, 2), 0.9), (pixels(18, 2), 0.8))),
        (
            query('published box', pixels(0, 10), box_xyxy=(0, 0, 20, 1)),
            prediction('published box', (pixels(0, 20), 0.9)),
        ),
        (query('not found', pixels(0, 10)), prediction('not found')),
        (query('no target'), prediction('no target', (pixels(0, 10), 0.9))),
    ]
    scored = score(pairs, 0.3, EMPTY_IS_WRONG)
    assert value('box Acc@0.5', scored) == 1 / 3
    assert value('box mIoU', scored) == pytest.approx((0.5 + 1 + 0) / 3)


def test_metrics_are_nan_where_undefined(query: MakeQuery, prediction: MakePrediction, pixels: MakeMask) -> None:
    scored = score([(query('a', pixels(0, 10)), prediction('a'))], 0.3, IouRule())
    assert np.isnan(value('N-acc', scored))
    assert np.isnan(value('gIoU', scored, [0]))
    assert np.isnan(value('mAP', scored, [0]))
    assert value('mAP', scored) == 0.0
