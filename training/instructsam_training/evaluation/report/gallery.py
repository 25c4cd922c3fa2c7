"""Cases to look at: the best, the worst and some others, with truth and answer outlined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.draw import DARK_RGB, Rgb
from instructsam_model.image_io import read_image
from instructsam_model.masks import Mask, Rle, decode_rle
from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.prediction import Answer
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.scoring import Judged

Picture = NDArray[np.uint8]
Why = Literal['best', 'worst', 'random']

LONGEST_SIDE = 400
"""Pixels; larger pictures are made smaller."""
TRUTH_RGB: Rgb = (0, 200, 140)
ANSWER_RGB: Rgb = (255, 170, 0)


@dataclass(frozen=True)
class Case:
    """One question and its answer, judged.

    Attributes:
        question: as it was put to the model.
        text: what the model wrote.
        masks: the predictions that count, best score first.
        scores: of each.
        iou: of all of them with all targets.
        why: what it is an example of.
    """

    question: Question
    text: str
    masks: tuple[Rle, ...]
    scores: tuple[float, ...]
    iou: float
    why: Why = 'random'


def cases_of(judged: Judged, answers: Mapping[str, Answer], min_score: float) -> list[Case]:
    """All questions that were judged."""
    return [
        _case(question, answers[question.id], min_score, float(iou))
        for question, iou in zip(judged.questions, judged.iou, strict=True)
    ]


def choose(cases: Sequence[Case], count: int = 20, seed: int = 0) -> list[Case]:
    """The best with a target, the worst, where the surest mistakes are first, and others at random; `count` of each."""
    best = sorted((case for case in cases if case.question.targets), key=lambda case: (-case.iou, -_surest(case)))
    rest = _without(cases, best[:count])
    worst = sorted(rest, key=lambda case: (case.iou, -_surest(case)))
    rest = _without(rest, worst[:count])
    order = np.random.default_rng(seed).permutation(len(rest))[:count].tolist()
    chosen: list[tuple[Why, list[Case]]] = [
        ('best', best[:count]), ('worst', worst[:count]), ('random', [rest[number] for number in order])
    ]  # fmt: skip
    return [replace(case, why=why) for why, some in chosen for case in some]


def picture_of(case: Case, longest_side: int = LONGEST_SIDE) -> Picture:
    """The picture with outlines: of targets broad, of predictions narrow, and these tinted.

    Raises:
        FrameError: the picture cannot be read.
    """
    picture = read_image(case.question.image)
    scale = min(1.0, longest_side / max(picture.shape[:2]))
    size_wh = max(1, round(scale * picture.shape[1])), max(1, round(scale * picture.shape[0]))
    picture = np.ascontiguousarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA))
    found = _scaled(case.masks, size_wh)
    for mask in found:
        _tint(picture, mask, ANSWER_RGB)
    _outline(picture, _scaled(case.question.targets, size_wh), ((5, DARK_RGB), (3, TRUTH_RGB)))
    _outline(picture, found, ((1, ANSWER_RGB),))
    return picture


def _case(question: Question, answer: Answer, min_score: float, iou: float) -> Case:
    kept = [
        (mask, score)
        for mask, score in zip(answer.masks, answer.scores, strict=True)
        if score > min_score and not is_empty(mask)
    ]
    return Case(question, answer.text, tuple(mask for mask, _ in kept), tuple(score for _, score in kept), iou)


def _surest(case: Case) -> float:
    return max(case.scores, default=0.0)


def _without(cases: Iterable[Case], others: Iterable[Case]) -> list[Case]:
    taken = {case.question.id for case in others}
    return [case for case in cases if case.question.id not in taken]


def _outline(picture: Picture, masks: Iterable[Mask], strokes: Sequence[tuple[int, Rgb]]) -> None:
    """Draw the contours of all masks, one stroke over the other, each of a width in pixels and a color."""
    found = [cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0] for mask in masks]
    for width_px, color in strokes:
        for contours in found:
            cv2.drawContours(picture, contours, -1, color, width_px)


def _tint(picture: Picture, mask: Mask, color: Rgb) -> None:
    picture[mask] = (0.65 * picture[mask] + 0.35 * np.array(color)).astype(np.uint8)


def _scaled(rles: Iterable[Rle], size_wh: tuple[int, int]) -> list[Mask]:
    masks = (decode_rle(rle).view(np.uint8) for rle in rles)
    return [cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST).view(np.bool_) for mask in masks]
