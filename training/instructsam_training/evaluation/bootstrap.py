"""Bootstrap confidence intervals of the metrics.

Images are resampled, not queries: queries about one image tend to be right or wrong together, and resampling them one
by one would make the intervals too narrow. The intervals are percentiles (Efron and Tibshirani, "An Introduction to
the Bootstrap", 1993, chapter 13).

Notation: Q queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from instructsam_training.evaluation.metrics import Metric
from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions

CONFIDENCE_LEVEL = 0.95


def confidence_intervals(
    scored: ScoredPredictions, metrics: Mapping[str, Metric], resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the 95 % confidence interval of each metric.

    Resamples for which a metric is undefined are not counted; metrics that are undefined for all of them are left out.
    """
    values: dict[str, list[float]] = {name: [] for name in metrics}
    for weights in _resample(scored, resamples, seed):
        for name, metric in metrics.items():
            values[name].append(metric(scored, weights))
    return {name: _percentile_interval(drawn) for name, drawn in values.items() if not np.isnan(drawn).all()}


def difference_interval(
    scored: ScoredPredictions, other: ScoredPredictions, metric: Metric, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % confidence interval of a metric's difference, `scored` minus `other`.

    Both use the same resamples of images, so that images which are hard for both do not widen the interval.

    Raises:
        ValueError: the two have different queries, or none.
    """
    if [query.id for query in scored.queries] != [query.id for query in other.queries]:
        raise ValueError('expected predictions for the same queries, in the same order')
    if not scored.queries:
        raise ValueError('expected predictions, got none')
    return _percentile_interval(
        [metric(scored, weights) - metric(other, weights) for weights in _resample(scored, resamples, seed)]
    )


def _resample(scored: ScoredPredictions, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield, for each resample of the images, how often each query is in it: float64 (Q,)."""
    images: dict[str, int] = {}
    # Image of each query: (Q,).
    image_index = np.array([images.setdefault(str(query.image), len(images)) for query in scored.queries])
    generator = np.random.default_rng(seed)
    # Draw as many images as there are, with replacement, and count how often each was drawn.
    for _ in range(resamples):
        counts = np.bincount(generator.integers(len(images), size=len(images)), minlength=len(images))
        yield counts[image_index].astype(np.float64)


def _percentile_interval(values: Sequence[float]) -> tuple[float, float]:
    # NaN: the metric is undefined for that resample.
    tail = (1 - CONFIDENCE_LEVEL) / 2
    return float(np.nanquantile(values, tail)), float(np.nanquantile(values, 1 - tail))
