"""Parity of the metrics: `metrics.json` holds queries, answers, and what the public evaluation makes of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsam_training.evaluation.overlap import IOU_THRESHOLDS, Metrics, Record, evaluate
from instructsam_training.parity.report import Difference

FILE = 'metrics.json'
TOLERANCE = 1e-6
"""The public evaluation divides in single precision."""


def compare_metrics(folder: Path) -> list[Difference]:
    """Evaluate the records of `metrics.json` and compare every number, overall and by number of targets.

    Raises:
        ValueError: the file is not laid out as that of tests/golden.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        evaluation = evaluate(_record(entry) for entry in content['records'])
        expected = content['expected']
        pairs = [(evaluation.overall, expected['overall'])]
        pairs += [(evaluation.by_target_count[name], numbers) for name, numbers in expected['by_num_objects'].items()]
        return _compare([(_published_names(metrics), numbers) for metrics, numbers in pairs])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: expected the layout of tests/golden/{FILE}, got {error!r}') from error


def _record(entry: Mapping[str, Any]) -> Record:
    return Record(entry['query_id'], tuple(entry['gt_rles']), tuple(entry['pred_rles']), tuple(entry['pred_scores']))


def _compare(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> list[Difference]:
    """One difference for each kind of number, from pairs of ours and theirs."""
    ours: dict[str, list[float]] = defaultdict(list)
    theirs: dict[str, list[float]] = defaultdict(list)
    for our_numbers, their_numbers in pairs:
        for key, value in their_numbers.items():
            kind = 'counts' if key.startswith('num_') else 'AP' if 'AP' in key else key
            ours[kind].append(our_numbers[key])
            theirs[kind].append(value)
    return [Difference.of(f'metrics {kind}', ours[kind], theirs[kind], abs_tol=TOLERANCE) for kind in theirs]


def _published_names(metrics: Metrics) -> dict[str, float]:
    """The numbers under the names that the public evaluation gives them."""
    by_threshold = {
        f'AP@{threshold:.2f}': value for threshold, value in zip(IOU_THRESHOLDS, metrics.average_precision, strict=True)
    }
    return {
        'giou': metrics.giou,
        'ciou': metrics.ciou,
        **by_threshold,
        'mAP': metrics.mean_average_precision,
        'AP50': by_threshold['AP@0.50'],
        'AP75': by_threshold['AP@0.75'],
        'num_gt_instances': metrics.target_count,
        'num_pred_instances': metrics.prediction_count,
        'num_samples': metrics.query_count,
    }
