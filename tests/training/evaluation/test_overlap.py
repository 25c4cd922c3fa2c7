"""The metrics: the published numbers, and cases small enough to work out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS, Evaluation, Metrics, Record, evaluate
from tests.support import GOLDEN

GOLDEN = GOLDEN / 'metrics.json'


def run(first: int, count: int) -> Rle:
    """A mask of `count` pixels in a row of 100, so that overlaps can be counted on the fingers."""
    mask = np.zeros((1, 100), dtype=bool)
    mask[0, first : first + count] = True
    return encode_rle(mask)


def query(query_id: int, targets: list[Rle], *predictions: tuple[Rle, float]) -> Record:
    return Record(
        query_id, tuple(targets), tuple(rle for rle, _ in predictions), tuple(score for _, score in predictions)
    )


def ap50(*records: Record) -> float:
    return evaluate(records).overall.average_precision[0]


RIGHT, WRONG = run(0, 10), run(50, 10)


def test_published_numbers() -> None:
    # tests/golden/metrics.json: 60 queries and what the public evaluation computes for them, in single precision.
    published = json.loads(GOLDEN.read_text())
    evaluation = evaluate(
        Record(record['query_id'], tuple(record['gt_rles']), tuple(record['pred_rles']), tuple(record['pred_scores']))
        for record in published['records']
    )
    assert evaluation.by_target_count.keys() == published['expected']['by_num_objects'].keys()
    for name, expected in {
        'overall': published['expected']['overall'],
        **published['expected']['by_num_objects'],
    }.items():
        metrics = evaluation.overall if name == 'overall' else evaluation.by_target_count[name]
        assert metrics.giou == pytest.approx(expected['giou'], abs=1e-6)
        assert metrics.ciou == pytest.approx(expected['ciou'], abs=1e-6)
        assert metrics.mean_average_precision == pytest.approx(expected['mAP'], abs=1e-6)
        for threshold, value in zip(IOU_THRESHOLDS, metrics.average_precision, strict=True):
            assert value == pytest.approx(expected[f'AP@{threshold:.2f}'], abs=1e-6)
        counts = (metrics.query_count, metrics.target_count, metrics.prediction_count)
        assert counts == (expected['num_samples'], expected['num_gt_instances'], expected['num_pred_instances'])


@pytest.mark.parametrize(
    ('records', 'giou', 'ciou'),
    [
        ([], 0.0, 0.0),
        ([query(0, [])], 1.0, 0.0),
        ([query(0, [], (RIGHT, 0.9))], 0.0, 0.0),
        ([query(0, [RIGHT])], 0.0, 0.0),
        ([query(0, [RIGHT], (RIGHT, 0.9))], 1.0, 1.0),
        ([query(0, [run(0, 10)], (run(5, 10), 0.9))], 5 / 15, 5 / 15),
        ([query(0, [run(0, 10), run(20, 10)], (run(0, 15), 0.9), (run(15, 15), 0.8))], 20 / 30, 20 / 30),
        ([query(0, [RIGHT], (RIGHT, 0.9)), query(1, [], (WRONG, 0.9))], 1 / 2, 10 / 20),
        ([query(0, [RIGHT], (RIGHT, 0.9)), query(1, [])], 1.0, 1.0),
        ([query(0, [run(0, 90)], (run(0, 90), 0.9)), query(1, [RIGHT])], 1 / 2, 90 / 100),
    ],
    ids=[
        'no query', 'nothing to find, nothing found', 'nothing to find, something found', 'nothing found', 'perfect',
        'half beside', 'union of several', 'a false alarm counts in both', 'a right no counts in gIoU alone',
        'large objects weigh more in cIoU',
    ],
)  # fmt: skip
def test_giou_and_ciou(records: list[Record], giou: float, ciou: float) -> None:
    metrics = evaluate(records).overall
    assert metrics.giou == pytest.approx(giou)
    assert metrics.ciou == pytest.approx(ciou)


@pytest.mark.parametrize(
    ('records', 'expected'),
    [
        ([query(0, [])], 0.0),
        ([query(0, [], (RIGHT, 0.9))], 0.0),
        ([query(0, [RIGHT])], 0.0),
        ([query(0, [RIGHT], (RIGHT, 0.1))], 1.0),
        ([query(0, [RIGHT], (RIGHT, 0.9), (RIGHT, 0.8))], 1.0),
        ([query(0, [RIGHT], (WRONG, 0.9), (RIGHT, 0.8))], 1 / 2),
        ([query(0, [RIGHT], (RIGHT, 0.8), (WRONG, 0.9))], 1 / 2),
        ([query(0, [RIGHT, WRONG], (RIGHT, 0.9), (RIGHT, 0.8), (WRONG, 0.7))], 1 / 2 * 1 + 1 / 2 * 2 / 3),
        ([query(0, [RIGHT, WRONG], (run(20, 9), 0.9), (RIGHT, 0.8), (WRONG, 0.7))], 2 / 3),
        ([query(0, [RIGHT], (RIGHT, 0.9)), query(1, [], (WRONG, 0.95))], 1 / 2),
        ([query(0, [RIGHT], (RIGHT, 0.9)), query(1, [], (WRONG, 0.5))], 1.0),
        ([query(0, [RIGHT], (WRONG, 0.9)), query(1, [WRONG], (RIGHT, 0.9))], 0.0),
        ([query(0, [RIGHT], (RIGHT, 0.6)), query(1, [RIGHT], (WRONG, 0.7), (RIGHT, 0.5))], 2 / 3),
    ],
    ids=[
        'no target', 'no target, false alarm', 'no prediction', 'perfect', 'duplicate last', 'wrong first',
        'order of scores, not of the list', 'duplicate between', 'precision is made monotone',
        'false alarm ranked first', 'false alarm ranked last', 'a target answers its own query alone',
        'one ranking for all',
    ],
)  # fmt: skip
def test_average_precision_at_half(records: list[Record], expected: float) -> None:
    assert ap50(*records) == pytest.approx(expected)


def test_an_iou_at_the_threshold_is_right() -> None:
    # 15 of 20 pixels: right at 0.50 to 0.75, wrong from 0.80 on.
    metrics = evaluate([query(0, [run(0, 20)], (run(0, 15), 0.9))]).overall
    assert metrics.average_precision == (1.0,) * 6 + (0.0,) * 4
    assert metrics.mean_average_precision == pytest.approx(0.6)


def test_a_prediction_takes_the_best_free_target() -> None:
    # The first overlaps both targets and takes the better; the second, which had only that one, is left with nothing.
    near, far = run(0, 10), run(10, 6)
    first, second = run(0, 16), run(2, 8)
    assert ap50(query(0, [near, far], (first, 0.9), (second, 0.8))) == pytest.approx(1 / 2)
    assert ap50(query(0, [near, far], (second, 0.9), (first, 0.8))) == pytest.approx(1 / 2)
    assert ap50(query(0, [near, far], (far, 0.9), (first, 0.8))) == pytest.approx(1.0)


def test_a_wrong_prediction_leaves_its_target_free() -> None:
    # At 0.90 the first (IoU 0.8) is wrong and the second (IoU 1.0) still finds the target.
    metrics = evaluate([query(0, [run(0, 10)], (run(0, 8), 0.9), (run(0, 10), 0.8))]).overall
    assert metrics.average_precision == (1.0,) * 7 + (0.5,) * 3


def test_equal_scores_keep_the_order_of_the_records() -> None:
    right, wrong = query(0, [RIGHT], (RIGHT, 0.5)), query(1, [RIGHT], (WRONG, 0.5))
    assert ap50(right, wrong) == pytest.approx(1 / 2 * 1)
    assert ap50(wrong, right) == pytest.approx(1 / 2 * 1 / 2)
    assert ap50(query(0, [RIGHT], (WRONG, 0.5), (RIGHT, 0.5))) == pytest.approx(1 / 2)


def test_each_number_of_targets_is_judged_by_itself() -> None:
    evaluation = evaluate(
        [
            query(0, []),
            query(1, [], (WRONG, 0.9)),
            query(2, [RIGHT], (RIGHT, 0.8)),
            query(3, [RIGHT, WRONG], (WRONG, 0.7)),
            query(4, [RIGHT, WRONG, run(80, 5)]),
        ]
    )
    none, one, several = (evaluation.by_target_count[name] for name in ('0', '1', '>=2'))
    assert (none.giou, none.average_precision[0], none.query_count, none.prediction_count) == (0.5, 0.0, 2, 1)
    assert (one.giou, one.average_precision[0], one.query_count, one.target_count) == (1.0, 1.0, 1, 1)
    assert (several.giou, several.query_count, several.target_count) == (0.25, 2, 5)
    assert several.average_precision[0] == pytest.approx(1 / 5)
    assert evaluation.overall.average_precision[0] == pytest.approx(1 / 6 * 2 / 3 + 1 / 6 * 2 / 3)
    assert evaluation.overall.query_count == 5


def test_no_query_at_all_gives_zeros() -> None:
    nothing = Metrics(0.0, 0.0, (0.0,) * 10, 0, 0, 0)
    assert evaluate([]) == Evaluation(nothing, {'0': nothing, '1': nothing, '>=2': nothing})


def test_a_repeated_query_counts_once() -> None:
    records = [query(0, [RIGHT], (RIGHT, 0.9)), query(1, [RIGHT], (WRONG, 0.8))]
    assert evaluate([*records, records[1], records[0]]) == evaluate(records)
    with pytest.raises(ValueError, match='query 1: expected one set of targets'):
        evaluate([*records, replace(records[1], targets=(WRONG,))])


def test_the_order_of_queries_does_not_matter() -> None:
    published = json.loads(GOLDEN.read_text())['records']
    records = [
        Record(
            record['query_id'], tuple(record['gt_rles']), tuple(record['pred_rles']), (0.9,) * len(record['pred_rles'])
        )
        for record in published
    ]
    generator = np.random.default_rng(0)
    distinct = iter(generator.permutation(200) / 200)
    records = [replace(record, scores=tuple(next(distinct) for _ in record.scores)) for record in records]
    shuffled = evaluate([records[index] for index in generator.permutation(len(records))]).overall
    ordered = evaluate(records).overall
    assert shuffled.giou == pytest.approx(ordered.giou)
    assert shuffled.average_precision == pytest.approx(ordered.average_precision)


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
def test_records_that_cannot_be_judged(changes: dict[str, tuple[object, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(query(7, [RIGHT], (RIGHT, 0.9)), **changes)
