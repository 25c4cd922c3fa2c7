"""Strata of the queries: by number of targets, and by the benchmark's own groups."""

from __future__ import annotations

import numpy as np

from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions


def by_target_count(scored: ScoredPredictions) -> dict[str, FloatArray]:
    """Return weights (Q,) of the queries with no target ("0"), with one ("1") and with several (">=2")."""
    count = scored.target_count
    masks = {'0': count == 0, '1': count == 1, '>=2': count >= 2}
    return {name: mask.astype(np.float64) for name, mask in masks.items()}


def by_group(scored: ScoredPredictions) -> dict[str, FloatArray]:
    """Return weights (Q,) of the queries of each group, sorted by name; queries without a group are in none."""
    groups = np.array([query.group for query in scored.queries])
    names = sorted({*groups.tolist()} - {''})
    return {name: (groups == name).astype(np.float64) for name in names}
