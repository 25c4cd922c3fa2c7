"""How sure the numbers are: bootstrap intervals.

Pictures are drawn, not questions: those about one picture are right and wrong together, and drawing them one by one
would make the intervals too narrow. The intervals are percentiles (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from instructsam_training.evaluation.judged import Judged
from instructsam_training.evaluation.metric import Metric

LEVEL = 0.95


def intervals(
    judged: Judged, metrics: Mapping[str, Metric], draws: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """For each metric the interval that holds 95 % of its values over sets of pictures drawn with replacement.

    Metrics that are undefined in some draw, for want of questions they are about, take the others.
    """
    pictures: dict[str, int] = {}
    picture_of = np.array([pictures.setdefault(str(question.image), len(pictures)) for question in judged.questions])
    generator = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for _ in range(draws):
        counts = np.bincount(generator.integers(len(pictures), size=len(pictures)), minlength=len(pictures))
        weights = counts[picture_of].astype(np.float64)
        for name, metric in metrics.items():
            values[name].append(metric(judged, weights))
    tail = (1 - LEVEL) / 2
    return {
        name: (float(np.nanquantile(drawn, tail)), float(np.nanquantile(drawn, 1 - tail)))
        for name, drawn in values.items()
        if not np.isnan(drawn).all()
    }
