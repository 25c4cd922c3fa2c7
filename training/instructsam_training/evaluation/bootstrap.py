"""How sure the numbers are: bootstrap intervals.

Pictures are drawn, not questions: those about one picture are right and wrong together, and drawing them one by one
would make the intervals too narrow. The intervals are percentiles (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from instructsam_training.evaluation.metrics import Metric
from instructsam_training.evaluation.scoring import Judged, Numbers

LEVEL = 0.95


def intervals(
    judged: Judged, metrics: Mapping[str, Metric], draws: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """For each metric the interval that holds 95 % of its values over sets of pictures drawn with replacement.

    Metrics that are undefined in some draw, for want of questions they are about, take the others.
    """
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for weights in _draws(judged, draws, seed):
        for name, metric in metrics.items():
            values[name].append(metric(judged, weights))
    return {name: _middle(drawn) for name, drawn in values.items() if not np.isnan(drawn).all()}


def gain(judged: Judged, other: Judged, metric: Metric, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of how much higher a metric is than for other answers to the same questions.

    Both are judged on the same sets of pictures, so that what is hard for both cancels out.

    Raises:
        ValueError: they are not about the same questions, or there are none.
    """
    if [question.id for question in judged.questions] != [question.id for question in other.questions]:
        raise ValueError('expected answers to the same questions, in the same order')
    if not judged.questions:
        raise ValueError('expected answers, got none')
    return _middle([metric(judged, weights) - metric(other, weights) for weights in _draws(judged, draws, seed)])


def _draws(judged: Judged, draws: int, seed: int) -> Iterator[Numbers]:
    """How often each question is drawn, with its picture."""
    pictures: dict[str, int] = {}
    picture_of = np.array([pictures.setdefault(str(question.image), len(pictures)) for question in judged.questions])
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        counts = np.bincount(generator.integers(len(pictures), size=len(pictures)), minlength=len(pictures))
        yield counts[picture_of].astype(np.float64)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    return float(np.nanquantile(values, tail)), float(np.nanquantile(values, 1 - tail))
