"""The report: every number of a benchmark, from the queries and the predictions alone.

It does not depend on the machine: the same predictions give the same report, byte for byte. Latency and memory are in
`speed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from instructsam_training.datasets.io.segmentation import is_empty
from instructsam_training.evaluation.benchmark import Benchmark, Scoring
from instructsam_training.evaluation.bootstrap import confidence_intervals
from instructsam_training.evaluation.coco_ap import coco_average_precision
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.runs import summarize_runs
from instructsam_training.evaluation.scoring import FloatArray, ScoredPredictions, score
from instructsam_training.evaluation.strata import by_group, by_target_count

Row = dict[str, float | int | None]
Pairs = Sequence[tuple[Query, PredictedMasks]]

NEED_TARGETS = ('mAP', 'AP50', 'AP75', 'cIoU')
"""Metrics that the public evaluation sets to 0 for queries without targets, where they are undefined."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation; part of the report.

    Attributes:
        split: of the benchmark.
        scoring: `authors` or `released`.
        min_score: predictions with this score or a lower one are dropped.
        source: the checkpoint, or the file of predictions.
        prompt: `published`, `plain` or `unchanged`.
        backend: back end that made the predictions; empty if they were read from a file.
        options: of the back end, as given on the command line.
        shuffle_seed: seed of the shuffled instructions; None if they are not shuffled.
        absent: number of queries of each image about categories that it does not have.
        keep_best: only the best mask of each query counts.
    """

    split: str
    scoring: Scoring
    min_score: float
    source: str
    prompt: str
    backend: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)
    shuffle_seed: int | None = None
    absent: int = 0
    keep_best: bool = False


def make_report(
    benchmark: Benchmark,
    settings: EvaluationSettings,
    queries: Sequence[Query],
    predictions: Mapping[str, PredictedMasks],
    skipped: Sequence[str],
    notes: Mapping[str, int] | None = None,
) -> tuple[dict[str, Any], ScoredPredictions]:
    """Compute every number of a benchmark.

    Args:
        benchmark: gives the metrics.
        settings: of the evaluation.
        queries: in the order of the data set, each id once.
        predictions: by query.
        skipped: records and predictions that could not be read.
        notes: what of the data set was left out by rule, and how often.

    Returns:
        The report, ready for JSON, and the scored predictions that it is made from.
    """
    overall, scored = measure(benchmark, settings, queries, predictions)
    report = {
        'benchmark': benchmark.name,
        'settings': asdict(settings),
        'queries': len(queries),
        'queries_without_target': sum(not query.targets for query in queries),
        'images': len({query.image for query in queries}),
        'scored': len(scored.queries),
        'empty_predictions': int((scored.prediction_count == 0).sum()),
        'overall': overall,
        'intervals': _intervals(benchmark, scored),
        'strata': {
            dimension: {name: _row(benchmark, scored, weights) for name, weights in strata.items()}
            for dimension, strata in _strata(benchmark, scored).items()
        },
        'runs': summarize_runs(scored, predictions, partial(_row, benchmark, scored)),
        'published': [asdict(result) for result in benchmark.published.get(settings.split, ())],
        'notes': dict(notes or {}),
        'skipped': [*skipped, *_errors(queries, predictions)],
    }
    return report, scored


def measure(
    benchmark: Benchmark,
    settings: EvaluationSettings,
    queries: Sequence[Query],
    predictions: Mapping[str, PredictedMasks],
) -> tuple[Row, ScoredPredictions]:
    """Compute the metrics of all queries; arguments as for `make_report`.

    Returns:
        The number of queries and every metric, None where it is undefined; and the scored predictions.
    """
    pairs = _pairs_to_score(benchmark, settings, queries, predictions)
    scored = score(pairs, settings.min_score, benchmark.iou_rule(settings.scoring))
    row = _row(benchmark, scored, scored.ones)
    # COCO's AP ignores the score threshold, so it needs the predictions themselves.
    by_group = benchmark.group_by == 'category'
    return row | coco_average_precision(pairs, by_group=by_group) if benchmark.has_instances else row, scored


def _pairs_to_score(
    benchmark: Benchmark,
    settings: EvaluationSettings,
    queries: Sequence[Query],
    predictions: Mapping[str, PredictedMasks],
) -> Pairs:
    """Return the queries with their predictions, without those that failed or are missing."""
    pairs = [(query, predictions[query.id]) for query in queries if query.id in predictions]
    pairs = [(query, prediction) for query, prediction in pairs if not prediction.error]
    if settings.keep_best:
        pairs = [(query, prediction.best()) for query, prediction in pairs]
    if benchmark.released_drops_empty and settings.scoring == 'released':
        # GroundingSuite's evaluator skips queries without a prediction.
        return [(query, prediction) for query, prediction in pairs if not _is_empty(prediction, settings.min_score)]
    return pairs


def _errors(queries: Sequence[Query], predictions: Mapping[str, PredictedMasks]) -> list[str]:
    """Return one line for each query that failed, then one for each without a prediction."""
    # The order is that of the queries, so that the report does not depend on the order of the predictions.
    failed = [query for query in queries if query.id in predictions and predictions[query.id].error]
    missing = [query for query in queries if query.id not in predictions]
    return [
        *(f'{query.id}: {predictions[query.id].error}' for query in failed),
        *(f'{query.id}: no prediction' for query in missing),
    ]


def _intervals(benchmark: Benchmark, scored: ScoredPredictions) -> dict[str, list[float]]:
    # Without queries there is nothing to resample.
    if not scored.queries:
        return {}
    has_targets = bool(scored.target_count.any())
    metrics = {name: METRICS[name] for name in benchmark.metrics if has_targets or name not in NEED_TARGETS}
    return {name: list(interval) for name, interval in confidence_intervals(scored, metrics).items()}


def _strata(benchmark: Benchmark, scored: ScoredPredictions) -> dict[str, dict[str, FloatArray]]:
    """Return the weights of each stratum, by dimension: the number of targets, or the benchmark's groups."""
    strata = {'targets': by_target_count(scored)} if benchmark.by_target_count else {}
    groups = by_group(scored)
    return strata | {benchmark.group_by: groups} if benchmark.group_by and groups else strata


def _row(benchmark: Benchmark, scored: ScoredPredictions, weights: FloatArray) -> Row:
    """Return the number of queries and every metric; None where a metric is undefined."""
    row: Row = {'queries': int(weights.sum())}
    has_targets = bool((weights * scored.target_count).any())
    for name in benchmark.metrics:
        value = METRICS[name](scored, weights)
        # JSON has no NaN.
        is_undefined = math.isnan(value) or (name in NEED_TARGETS and not has_targets)
        row[name] = None if is_undefined else value
    return row


def _is_empty(prediction: PredictedMasks, min_score: float) -> bool:
    """Whether no mask above the score threshold covers a pixel."""
    return all(is_empty(mask) for mask, _ in prediction.above(min_score))
