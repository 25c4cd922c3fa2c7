"""Parity of the metrics: `metrics.json` has queries, predictions, and the numbers of the public evaluation.

The numbers are computed by the code that makes the reports, `evaluation.scoring` and `evaluation.metrics`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsam_training.evaluation.metrics import METRICS, average_precision
from instructsam_training.evaluation.overlap import IOU_THRESHOLDS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.scoring import FloatArray, IouRule, ScoredPredictions, score
from instructsam_training.evaluation.strata import by_target_count
from instructsam_training.parity.report import Difference

FILE = 'metrics.json'
TOLERANCE = 1e-6
"""The public evaluation divides in single precision."""
NO_IMAGE = Path()
NO_SIZE = (0, 0)
"""The metrics use neither images nor their size; masks have their own."""


def compare_metrics(folder: Path) -> list[Difference]:
    """Score the predictions of `metrics.json` and compare every number, overall and by number of targets.

    Raises:
        ValueError: the file does not have the layout of that of tests/golden.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        # Every prediction counts, whatever its score.
        scored = score(map(_read_record, content['records']), -math.inf, IouRule())
        expected = content['expected']
        # The strata have the names "0", "1" and ">=2" in both implementations.
        strata = by_target_count(scored)
        pairs = [(compute_numbers(scored, scored.ones), expected['overall'])]
        pairs += [
            (compute_numbers(scored, strata[name]), numbers) for name, numbers in expected['by_num_objects'].items()
        ]
        return _compare_numbers(pairs)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: expected the layout of tests/golden/{FILE}, got {error!r}') from error


def compute_numbers(scored: ScoredPredictions, weights: FloatArray) -> dict[str, float]:
    """Return the numbers of the weighted queries under the names of the public evaluation, which has 0 if undefined."""
    values = average_precision(scored, weights).tolist()
    by_threshold = {f'AP@{threshold:.2f}': value for threshold, value in zip(IOU_THRESHOLDS, values, strict=True)}
    names = {'giou': 'gIoU', 'ciou': 'cIoU', 'mAP': 'mAP', 'AP50': 'AP50', 'AP75': 'AP75'}
    metrics = {published: METRICS[name](scored, weights) for published, name in names.items()}
    return {
        **{name: 0.0 if math.isnan(value) else value for name, value in metrics.items()},
        **by_threshold,
        'num_gt_instances': float((weights * scored.target_count).sum()),
        'num_pred_instances': float(weights[scored.query_index].sum()),
        'num_samples': float(weights.sum()),
    }


def _read_record(record: Mapping[str, Any]) -> tuple[Query, PredictedMasks]:
    name = str(record['query_id'])
    query = Query(name, NO_IMAGE, NO_SIZE, 'phrase', '', tuple(record['gt_rles']))
    return query, PredictedMasks(name, tuple(record['pred_rles']), tuple(record['pred_scores']))


def _compare_numbers(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> list[Difference]:
    """Return one difference for each kind of number, from pairs of ours and theirs."""
    # The same number of every stratum, and AP at all thresholds, are one array each.
    ours: dict[str, list[float]] = defaultdict(list)
    theirs: dict[str, list[float]] = defaultdict(list)
    for our_numbers, their_numbers in pairs:
        for key, value in their_numbers.items():
            kind = 'counts' if key.startswith('num_') else 'AP' if 'AP' in key else key
            ours[kind].append(our_numbers[key])
            theirs[kind].append(value)
    return [Difference.arrays(f'metrics {kind}', ours[kind], theirs[kind], abs_tol=TOLERANCE) for kind in theirs]
