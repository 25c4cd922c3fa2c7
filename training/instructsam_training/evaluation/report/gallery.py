"""Examples of a report: the best, the worst and random ones, drawn with ground truth and prediction."""

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
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.scoring import ScoredPredictions

RgbImage = NDArray[np.uint8]
Category = Literal['best', 'worst', 'random']

MAX_SIDE_PX = 400
"""Larger images are scaled down."""
GROUND_TRUTH_RGB: Rgb = (0, 200, 140)
PREDICTION_RGB: Rgb = (255, 170, 0)
TINT_OPACITY = 0.35


@dataclass(frozen=True)
class Example:
    """One query with its prediction and IoU.

    Attributes:
        query: with the text that the model got.
        text: text that the model generated.
        masks: non-empty predictions above the score threshold, best score first.
        scores: of each.
        iou: of all predictions merged with all targets merged.
        category: category that it was chosen for.
    """

    query: Query
    text: str
    masks: tuple[Rle, ...]
    scores: tuple[float, ...]
    iou: float
    category: Category = 'random'


def make_examples(
    scored: ScoredPredictions, predictions: Mapping[str, PredictedMasks], min_score: float
) -> list[Example]:
    """Return one example for each scored query."""
    return [
        _make_example(query, predictions[query.id], min_score, float(iou))
        for query, iou in zip(scored.queries, scored.iou, strict=True)
    ]


def choose_examples(examples: Sequence[Example], count: int = 20, seed: int = 0) -> list[Example]:
    """Choose `count` examples of each category.

    The best ones have a target; among the worst, those with the highest scores come first; the random ones are drawn
    from the rest.
    """
    with_target = (example for example in examples if example.query.targets)
    best = sorted(with_target, key=lambda example: (-example.iou, -_best_score(example)))[:count]
    # No example is in two categories.
    rest = _without(examples, best)
    worst = sorted(rest, key=lambda example: (example.iou, -_best_score(example)))[:count]
    rest = _without(rest, worst)
    order = np.random.default_rng(seed).permutation(len(rest))[:count].tolist()
    chosen: dict[Category, list[Example]] = {
        'best': best, 'worst': worst, 'random': [rest[number] for number in order]
    }  # fmt: skip
    return [replace(example, category=category) for category, some in chosen.items() for example in some]


def draw_example(example: Example, max_side_px: int = MAX_SIDE_PX) -> RgbImage:
    """Return the image with wide outlines of the targets and tinted, thinly outlined predictions, uint8 (H, W, 3).

    Raises:
        FrameError: the image cannot be read.
    """
    image_rgb = read_image(example.query.image)
    # Shrink large images, never enlarge small ones; a side has at least one pixel.
    scale = min(1.0, max_side_px / max(image_rgb.shape[:2]))
    size_wh = max(1, round(scale * image_rgb.shape[1])), max(1, round(scale * image_rgb.shape[0]))
    image_rgb = np.ascontiguousarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA))
    # Predictions are tinted first and outlined last, so that neither hides the outline of a target.
    predictions = _resize(example.masks, size_wh)
    for mask in predictions:
        _tint(image_rgb, mask, PREDICTION_RGB)
    _outline(image_rgb, _resize(example.query.targets, size_wh), ((5, DARK_RGB), (3, GROUND_TRUTH_RGB)))
    _outline(image_rgb, predictions, ((1, PREDICTION_RGB),))
    return image_rgb


def _make_example(query: Query, prediction: PredictedMasks, min_score: float, iou: float) -> Example:
    # Empty masks have no outline.
    kept = [(mask, score) for mask, score in prediction.above(min_score) if not is_empty(mask)]
    return Example(query, prediction.text, tuple(mask for mask, _ in kept), tuple(score for _, score in kept), iou)


def _best_score(example: Example) -> float:
    return max(example.scores, default=0.0)


def _without(examples: Iterable[Example], others: Iterable[Example]) -> list[Example]:
    ids = {example.query.id for example in others}
    return [example for example in examples if example.query.id not in ids]


def _outline(image_rgb: RgbImage, masks: Iterable[Mask], strokes: Sequence[tuple[int, Rgb]]) -> None:
    """Draw the contours of all masks once for each stroke, a width in pixels and a color."""
    # RETR_CCOMP also returns the borders of holes; all pixels of a contour are kept.
    found = [cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0] for mask in masks]
    for width_px, color in strokes:
        for contours in found:
            cv2.drawContours(image_rgb, contours, -1, color, width_px)


def _tint(image_rgb: RgbImage, mask: Mask, color: Rgb) -> None:
    image_rgb[mask] = ((1 - TINT_OPACITY) * image_rgb[mask] + TINT_OPACITY * np.array(color)).astype(np.uint8)


def _resize(rles: Iterable[Rle], size_wh: tuple[int, int]) -> list[Mask]:
    # OpenCV does not resize bool; nearest neighbor keeps the values 0 and 1.
    masks = (decode_rle(rle).view(np.uint8) for rle in rles)
    return [cv2.resize(mask, size_wh, interpolation=cv2.INTER_NEAREST).view(np.bool_) for mask in masks]
