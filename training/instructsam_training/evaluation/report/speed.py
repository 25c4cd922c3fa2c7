"""Latency and memory of an evaluation; kept apart from its report, because they depend on the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instructsam_training.evaluation.prediction import PredictedMasks


def summarize_speed(predictions: Sequence[PredictedMasks]) -> dict[str, Any]:
    """Return percentiles of the latency, seconds, and the peak memory; empty if no latency was measured."""
    measured = [prediction for prediction in predictions if prediction.seconds]
    if not measured:
        return {}
    stages = sorted({stage for prediction in measured for stage in prediction.stages})
    return {
        'queries': len(measured),
        'seconds': _percentiles([prediction.seconds for prediction in measured]),
        'stages': {stage: _percentiles([each.stages.get(stage, 0.0) for each in measured]) for stage in stages},
        'peak_memory_gib': max(prediction.memory_gib for prediction in measured),
    }


def speed_line(speed: Mapping[str, Any]) -> str:
    """Return the summary as one line of text."""
    return (
        f'{speed["queries"]} queries: median {milliseconds(speed, "p50")} ms, '
        f'95 % within {milliseconds(speed, "p95")} ms; peak memory {speed["peak_memory_gib"]:.2f} GiB'
    )


def milliseconds(speed: Mapping[str, Any], percentile: str) -> str:
    """Return the percentile `p50` or `p95` of the latency in milliseconds; empty if it was not measured."""
    return f'{1000 * speed["seconds"][percentile]:.0f}' if speed else ''


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return {'p50': p50, 'p95': p95, 'mean': float(np.mean(values))}
