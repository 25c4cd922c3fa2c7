"""The paper's ablations at a small scale, and whether their differences have the same sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instructsam_model.errors import ConfigError
from instructsam_training.evaluation.bootstrap import difference_interval
from instructsam_training.evaluation.metrics import giou, mean_average_precision
from instructsam_training.evaluation.report.compare import EvaluationResult
from instructsam_training.evaluation.report.grid import Grid, percent, percent_range
from instructsam_training.evaluation.report.speed import milliseconds
from instructsam_training.evaluation.scoring import ScoredPredictions
from instructsam_training.evaluation.strata import by_target_count

FULL_MODEL_MAP = 31.5
"""mAP of the paper's full model on Inst2Seg, percent."""


@dataclass(frozen=True)
class Ablation:
    """An ablation of the paper.

    Attributes:
        table: number of the table in the paper.
        title: what is changed.
        published_map: mAP on Inst2Seg, percent, compared with `FULL_MODEL_MAP`; None if it is not known here.
        is_known_worse: whether it is known here that the paper reports a lower mAP than that of the full model.
    """

    table: int
    title: str
    published_map: float | None = None
    is_known_worse: bool = True


ABLATIONS = {
    'no_query_bank': Ablation(5, 'without query bank'),
    'no_hybrid_attention': Ablation(5, 'without hybrid attention'),
    'queries_5': Ablation(6, '5 queries', is_known_worse=False),
    'queries_20': Ablation(6, '20 queries', is_known_worse=False),
    'queries_50': Ablation(6, '50 queries', is_known_worse=False),
    'queries_200': Ablation(6, '200 queries', is_known_worse=False),
    'no_phrase': Ablation(7, 'without phrase', FULL_MODEL_MAP - 2.4),
    'unconditioned_queries': Ablation(7, 'queries that do not come from the language model', 16.7),
    'no_stage1': Ablation(9, 'without stage 1', 8.1),
}
"""Ablations by the names of their files in `training/configs/ablations`."""


@dataclass(frozen=True, eq=False)
class ScoredEvaluation:
    """An evaluation with its scored predictions."""

    result: EvaluationResult
    scored: ScoredPredictions


def ablation_grid(full: ScoredEvaluation, ablations: Sequence[ScoredEvaluation]) -> Grid:
    """Return a table with the full model and one row for each ablation, in the order of the paper's tables.

    Raises:
        ConfigError: an ablation is unknown, or its queries are not those of the full model.
    """
    unknown = sorted({ablation.result.name for ablation in ablations} - {*ABLATIONS})
    if unknown:
        raise ConfigError(f'ablation: expected some of {", ".join(ABLATIONS)}, got {", ".join(unknown)}')
    # `ABLATIONS` has the order of the paper's tables.
    order = [*ABLATIONS]
    rows: list[tuple[str, ...]] = [('', 'full model', *_metric_cells(full), '', f'{FULL_MODEL_MAP:.1f}', '')]
    rows += [_row(full, each) for each in sorted(ablations, key=lambda each: order.index(each.result.name))]
    headings = (
        'table', 'model', 'mAP', 'mAP, one target', 'gIoU', 'median, ms', 'gain of the full model (95 % interval)',
        'mAP in the paper', 'result',
    )  # fmt: skip
    return Grid(headings, tuple(rows))


def _row(full: ScoredEvaluation, evaluation: ScoredEvaluation) -> tuple[str, ...]:
    ablation = ABLATIONS[evaluation.result.name]
    try:
        # Paired: both models are evaluated on the same resamples of images.
        low, high = difference_interval(full.scored, evaluation.scored, mean_average_precision)
    except ValueError as error:
        raise ConfigError(f'{evaluation.result.folder}: {error}') from None
    published = '' if ablation.published_map is None else f'{ablation.published_map:.1f}'
    conclusion = _conclusion(ablation, low)
    difference = percent_range((low, high))
    return (str(ablation.table), ablation.title, *_metric_cells(evaluation), difference, published, conclusion)


def _metric_cells(evaluation: ScoredEvaluation) -> tuple[str, str, str, str]:
    scored = evaluation.scored
    return (
        percent(mean_average_precision(scored, scored.ones)),
        percent(mean_average_precision(scored, by_target_count(scored)['1'])),
        percent(giou(scored, scored.ones)),
        milliseconds(evaluation.result.speed, 'p50'),
    )


def _conclusion(ablation: Ablation, low: float) -> str:
    """Return `confirmed` only if the whole interval of the difference is above 0."""
    if not ablation.is_known_worse:
        return ''
    return 'confirmed' if low > 0 else 'not confirmed'
