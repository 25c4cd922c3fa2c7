"""How well masks answer instructions: gIoU, cIoU and average precision, overall and by number of targets.

The definitions are those of the public evaluation of Inst2Seg and gRefCOCO, so that numbers compare. Everything is
computed on run-length encodings, without drawing a mask.

Notation: N predictions and M targets of one query, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle

IOU_THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.50, 0.55, ..., 0.95: where a prediction begins to count as right."""


@dataclass(frozen=True)
class Record:
    """One query and what was answered.

    Attributes:
        query_id: the same for every record of one query, and for no other query.
        targets: the masks that answer the query; empty when nothing in the picture does.
        predictions: the masks that were kept, in any order.
        scores: the confidence of each prediction.
        ignore: pixels that count neither for nor against; average precision takes no notice of them.

    Raises:
        ValueError: there are not as many scores as predictions, a score is not a number, or the masks differ in size.
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
        masks = [*self.targets, *self.predictions] + ([] if self.ignore is None else [self.ignore])
        sizes = {tuple(rle['size']) for rle in masks}
        if len(sizes) > 1:
            raise ValueError(f'query {self.query_id}: expected masks of one size, got {sorted(sizes)}')


@dataclass(frozen=True)
class Metrics:
    """The numbers of one set of queries; all 0 when it is empty.

    Attributes:
        giou: mean over queries of the IoU of all predictions together with all targets together.
        ciou: pixels in both, over pixels in either, summed over the queries.
        average_precision: one for each of `IOU_THRESHOLDS`; 0 where no query has a target.
        query_count: how many queries.
        target_count: how many targets they have.
        prediction_count: how many predictions were made.
    """

    giou: float
    ciou: float
    average_precision: tuple[float, ...]
    query_count: int
    target_count: int
    prediction_count: int

    @property
    def mean_average_precision(self) -> float:
        """Mean of `average_precision` over the thresholds."""
        return float(np.mean(self.average_precision))


@dataclass(frozen=True)
class Evaluation:
    """The numbers of a data set.

    Attributes:
        overall: over all queries.
        by_target_count: over the queries without a target ("0"), with one ("1") and with several (">=2").
    """

    overall: Metrics
    by_target_count: dict[str, Metrics]


def evaluate(records: Iterable[Record]) -> Evaluation:
    """Judge the answers to a data set's queries.

    A query that was answered more than once counts once, by its first record: a distributed sampler fills the last
    batch with repeats, which would count its targets twice.

    Raises:
        ValueError: two records of one query have different targets.
    """
    measured = [measure(record) for record in _first_of_each_query(records)]
    strata = {
        '0': [query for query in measured if query.target_count == 0],
        '1': [query for query in measured if query.target_count == 1],
        '>=2': [query for query in measured if query.target_count >= 2],
    }
    return Evaluation(_summarize(measured), {name: _summarize(queries) for name, queries in strata.items()})


@dataclass(frozen=True, eq=False)
class Measured:
    """What the metrics need to know of one query.

    Attributes:
        intersection: pixels in a prediction and in a target.
        union: pixels in either.
        scores: float64 (N,), highest first.
        is_right: bool (N, T), whether the prediction found a target of its own at the threshold.
        target_count: M.
    """

    intersection: float
    union: float
    scores: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    target_count: int

    @property
    def iou(self) -> float:
        """IoU of the unions. Nothing found where nothing was to be found is right: 1."""
        return self.intersection / self.union if self.union else 1.0


def _first_of_each_query(records: Iterable[Record]) -> list[Record]:
    first: dict[int | str, Record] = {}
    for record in records:
        kept = first.setdefault(record.query_id, record)
        if kept.targets != record.targets:
            raise ValueError(f'query {record.query_id}: expected one set of targets, got two records that differ')
    return list(first.values())


def measure(record: Record) -> Measured:
    """Compare a query's predictions with its targets."""
    scores = np.asarray(record.scores, dtype=np.float64)
    order = np.argsort(-scores, kind='stable')
    predictions = [record.predictions[index] for index in order]
    intersection, union = _union_overlap(predictions, record.targets, record.ignore)
    ious = np.zeros((len(predictions), len(record.targets)))
    if ious.size:
        ious = coco_mask.iou(predictions, list(record.targets), [0] * len(record.targets))
    return Measured(intersection, union, scores[order], _match(ious), len(record.targets))


def _union_overlap(predictions: Sequence[Rle], targets: Sequence[Rle], ignore: Rle | None) -> tuple[float, float]:
    """Pixels that both the predictions and the targets cover, and that either does, without those to ignore."""
    covered = [*predictions, *targets]
    union = _area_outside(coco_mask.merge(covered), ignore) if covered else 0.0
    if not predictions or not targets:
        return 0.0, union
    both = coco_mask.merge([coco_mask.merge(list(predictions)), coco_mask.merge(list(targets))], intersect=True)
    return _area_outside(both, ignore), union


def _area_outside(rle: Rle, ignore: Rle | None) -> float:
    """How many pixels a mask covers outside of `ignore`."""
    inside = 0 if ignore is None else coco_mask.area(coco_mask.merge([rle, ignore], intersect=True))
    return float(coco_mask.area(rle)) - float(inside)


def _match(ious: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which predictions are right: each, best score first, takes the best target that is still free.

    Args:
        ious: (N, M), the predictions with the highest score first.

    Returns:
        bool (N, T). A prediction below the threshold is wrong and leaves its target to others.
    """
    thresholds = np.array(IOU_THRESHOLDS)
    is_right = np.zeros((len(ious), len(thresholds)), dtype=np.bool_)
    if not ious.size:
        return is_right
    is_taken = np.zeros((len(thresholds), ious.shape[1]), dtype=np.bool_)
    every = np.arange(len(thresholds))
    for row, right in zip(ious, is_right, strict=True):
        free_ious = np.where(is_taken, -1.0, row)  # (T, M)
        best = free_ious.argmax(axis=1)  # (T,)
        right[:] = free_ious[every, best] >= thresholds
        is_taken[every[right], best[right]] = True
    return is_right


def _summarize(queries: Sequence[Measured]) -> Metrics:
    target_count = sum(query.target_count for query in queries)
    union = sum(query.union for query in queries)
    return Metrics(
        giou=float(np.mean([query.iou for query in queries])) if queries else 0.0,
        ciou=sum(query.intersection for query in queries) / union if union else 0.0,
        average_precision=_average_precision(queries, target_count),
        query_count=len(queries),
        target_count=target_count,
        prediction_count=sum(len(query.scores) for query in queries),
    )


def _average_precision(queries: Sequence[Measured], target_count: int) -> tuple[float, ...]:
    """Area under precision over recall, all predictions of all queries ranked together, one for each threshold.

    Precision is made monotone and the area is taken at every change of recall, as by Pascal VOC from 2010 on: not at
    COCO's 101 points, and with no limit to the number of predictions. Equal scores keep the order of the records.
    """
    if not target_count or not any(len(query.scores) for query in queries):
        return (0.0,) * len(IOU_THRESHOLDS)
    order = np.argsort(-np.concatenate([query.scores for query in queries]), kind='stable')
    is_right = np.concatenate([query.is_right for query in queries])[order]  # (N, T), N of all queries
    found = is_right.cumsum(axis=0)  # (N, T)
    precision = found / np.arange(1, len(order) + 1)[:, None]  # (N, T)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]  # (N, T)
    # Recall grows by one target at each right prediction and nowhere else.
    areas = (envelope * is_right).sum(axis=0) / target_count  # (T,)
    return tuple(areas.tolist())
