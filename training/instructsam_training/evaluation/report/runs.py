"""How the runs of an agent ended, and what they took: a run that died has no answer, but may count as right.

An agent answers in rounds, and some runs end without a decision. Their result is usually empty, which is right if a
query has no target. So they are counted apart, and the metrics are given with and without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.report.grid import Grid, percent
from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions

ALL, NOT_DIED, DIED = 'all', 'not died', 'died'
"""Rows of the metrics."""


def summarize_runs(
    scored: ScoredPredictions,
    predictions: Mapping[str, PredictedMasks],
    measure: Callable[[FloatArray], Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the runs of an agent took and how they ended; empty if no prediction is that of an agent.

    Args:
        scored: queries with predictions.
        predictions: by query.
        measure: returns the metrics of the queries with weights (Q,).

    Returns:
        `ended`: number of runs by how they ended; `died`: number of runs without a decision; `died_right`: those of
        them that count as right, because their query has no target and their result is empty; `metrics`: of all runs,
        of those that did not die, and of those that did; `counts`: mean, percentiles and sum of each count.
    """
    runs = [predictions[query.id] for query in scored.queries]
    if not any(run.ended for run in runs):
        return {}
    died = np.array([run.died for run in runs], dtype=np.float64)
    is_right = (scored.target_count == 0) & (scored.prediction_count == 0)
    rows = {ALL: scored.ones, NOT_DIED: 1 - died, DIED: died}
    return {
        'ended': dict(sorted(Counter(run.ended for run in runs).items())),
        'died': int(died.sum()),
        'died_right': int((died * is_right).sum()),
        'metrics': {name: dict(measure(weights)) for name, weights in rows.items() if weights.any()},
        'counts': summarize_counts(runs),
    }


def summarize_counts(runs: Iterable[PredictedMasks]) -> dict[str, dict[str, float]]:
    """Return mean, percentiles and sum of each count of the runs, by its name; a run that lacks one has 0 of it."""
    counts = [run.counts for run in runs]
    names = dict.fromkeys(name for each in counts for name in each)
    return {name: _summarize([each.get(name, 0) for each in counts]) for name in names}


def runs_grids(runs: Mapping[str, Any], metrics: Sequence[str]) -> list[Grid]:
    """Return the table of the metrics with and without dead runs, and that of the counts.

    Args:
        runs: from `summarize_runs`; may be empty.
        metrics: names of the metrics to show.
    """
    if not runs:
        return []
    ended = ', '.join(f'{count} {how}' for how, count in runs['ended'].items())
    note = f'ended: {ended}; {runs["died"]} died'
    if runs['died_right']:
        note += f' (counted as right because there was nothing to find: {runs["died_right"]})'
    rows = [
        (name, str(row['queries']), *(percent(row[metric]) for metric in metrics))
        for name, row in runs['metrics'].items()
    ]
    counts = [
        (name, *(_number(summary[column]) for column in ('mean', 'p50', 'p95', 'sum')))
        for name, summary in runs['counts'].items()
    ]
    return [
        Grid(('runs', 'queries', *metrics), tuple(rows), note),
        Grid(('per run', 'mean', 'median', '95 % within', 'sum'), tuple(counts)),
    ]


def _summarize(values: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95]).tolist()
    return {'mean': float(np.mean(values)), 'p50': p50, 'p95': p95, 'sum': float(np.sum(values))}


def _number(value: float) -> str:
    """Format a count: whole numbers as such, others with two digits, small amounts of money with four."""
    if value == int(value):
        return f'{int(value):,}'
    return f'{value:,.2f}' if abs(value) >= 0.1 else f'{value:.4f}'
