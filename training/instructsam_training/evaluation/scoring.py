"""`Judged`: all questions with their answers as columns of numbers, of which every metric is a weighted sum.

With weights of 0 and 1 it is the metric of a part of the questions, with counts that of a bootstrap sample.

Notation: Q questions, N predictions that were kept, T thresholds (`metrics.IOU_THRESHOLDS`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle
from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS, Measured, Record, measure
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class IouRule:
    """How the pixels of a question become its IoU: intersection / (union + epsilon).

    Attributes:
        empty: the IoU where nothing was to be found and nothing was found.
        epsilon: pixels.
    """

    empty: float = 1.0
    epsilon: float = 0.0

    def iou(self, intersection: float, union: float) -> float:
        """The IoU of one question."""
        return intersection / (union + self.epsilon) if union else self.empty


@dataclass(frozen=True, eq=False)
class Judged:
    """Questions and answers in numbers.

    Attributes:
        questions: Q of them.
        intersection: float64 (Q,), pixels of kept predictions and of targets, both taken together.
        union: float64 (Q,), pixels of either.
        iou: float64 (Q,), by the benchmark's rule.
        box_iou: float64 (Q,), of the boxes around all predictions and all targets; NaN where there is no target.
        target_count: float64 (Q,).
        kept_count: float64 (Q,), predictions above the score threshold that cover a pixel.
        owner: int64 (N,), question of each prediction; predictions of all questions together, best score first.
        is_right: bool (N, T), whether the prediction found a target of its own.
    """

    questions: tuple[Question, ...]
    intersection: Numbers
    union: Numbers
    iou: Numbers
    box_iou: Numbers
    target_count: Numbers
    kept_count: Numbers
    owner: NDArray[np.int64]
    is_right: NDArray[np.bool_]


def judge(pairs: Iterable[tuple[Question, Answer]], min_score: float, rule: IouRule) -> Judged:
    """Compare answers with targets.

    Args:
        pairs: each question once.
        min_score: predictions that score lower or equal are left out.
        rule: how the IoU of a question is calculated.

    Raises:
        ValueError: a mask is not of its question's size.
    """
    questions, records, measured = [], [], []
    for question, answer in pairs:
        record = _record(question, answer, min_score)
        questions.append(question)
        records.append(record)
        measured.append(measure(record))
    scores = np.concatenate([each.scores for each in measured] or [np.empty(0)])
    owner = np.repeat(np.arange(len(measured)), [len(each.scores) for each in measured])
    is_right = np.concatenate([each.is_right for each in measured] or [np.empty((0, len(IOU_THRESHOLDS)), np.bool_)])
    order = np.argsort(-scores, kind='stable')
    return Judged(
        questions=tuple(questions),
        intersection=np.array([each.intersection for each in measured]),
        union=np.array([each.union for each in measured]),
        iou=np.array([rule.iou(each.intersection, each.union) for each in measured]),
        box_iou=np.array([_box_iou(*pair) for pair in zip(questions, records, strict=True)]),
        target_count=np.array([each.target_count for each in measured], dtype=np.float64),
        kept_count=np.array([_count_seen(record.predictions) for record in records], dtype=np.float64),
        owner=owner[order],
        is_right=is_right[order],
    )


def judge_one(question: Question, answer: Answer, min_score: float, rule: IouRule) -> float:
    """The IoU of one question."""
    measured: Measured = measure(_record(question, answer, min_score))
    return rule.iou(measured.intersection, measured.union)


def _record(question: Question, answer: Answer, min_score: float) -> Record:
    kept = [pair for pair in zip(answer.masks, answer.scores, strict=True) if pair[1] > min_score]
    return Record(
        question.id,
        question.targets,
        tuple(mask for mask, _ in kept),
        tuple(score for _, score in kept),
        question.ignore,
    )


def _count_seen(rles: Sequence[Rle]) -> int:
    return sum(not is_empty(rle) for rle in rles)


def _box_iou(question: Question, record: Record) -> float:
    """IoU of the boxes around everything predicted and around the target; 0 where nothing was predicted."""
    if not record.targets:
        return float('nan')
    if not _count_seen(record.predictions):
        return 0.0
    target = np.array(question.box_xyxy) if question.box_xyxy is not None else _box_around(record.targets)
    found = _box_around(record.predictions)
    sides = np.minimum(target[2:], found[2:]) - np.maximum(target[:2], found[:2])
    both = float(sides.clip(0).prod())
    return both / float((target[2:] - target[:2]).prod() + (found[2:] - found[:2]).prod() - both)


def _box_around(rles: Sequence[Rle]) -> Numbers:
    """x1, y1, x2, y2 of the smallest box around all masks, x2 and y2 exclusive."""
    x, y, width, height = coco_mask.toBbox(coco_mask.merge(list(rles))).tolist()
    return np.array([x, y, x + width, y + height])
