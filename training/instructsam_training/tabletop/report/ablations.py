"""The paper's ablations in small, and whether they point the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_training.evaluation.bootstrap import gain
from instructsam_training.evaluation.metrics import giou, mean_average_precision
from instructsam_training.evaluation.report.compare import Result, milliseconds
from instructsam_training.evaluation.report.grid import Grid, interval, percent
from instructsam_training.evaluation.scoring import Judged

FULL_MAP = 31.5
"""Percent, of the paper's full model on Inst2Seg."""


@dataclass(frozen=True)
class Ablation:
    """What is taken away, and what that did in the paper.

    Attributes:
        table: of the paper.
        title: what is different.
        paper_map: mAP on Inst2Seg in percent, where the full model has `FULL_MAP`; None where it is not known here.
        is_known: whether it is known here that the paper finds it worse than the full model.
    """

    table: int
    title: str
    paper_map: float | None = None
    is_known: bool = True


ABLATIONS = {
    'no_query_bank': Ablation(5, 'without query bank'),
    'no_hybrid_attention': Ablation(5, 'without hybrid attention'),
    'queries_5': Ablation(6, '5 queries', is_known=False),
    'queries_20': Ablation(6, '20 queries', is_known=False),
    'queries_50': Ablation(6, '50 queries', is_known=False),
    'queries_200': Ablation(6, '200 queries', is_known=False),
    'no_phrase': Ablation(7, 'without phrase', FULL_MAP - 2.4),
    'unconditioned_queries': Ablation(7, 'queries that do not come from the language model', 16.7),
    'no_stage1': Ablation(9, 'without stage 1', 8.1),
}
"""By the names of `training/configs/ablations`."""


@dataclass(frozen=True, eq=False)
class Trial:
    """An evaluation with its questions judged."""

    result: Result
    judged: Judged


def ablation_grid(full: Trial, trials: Sequence[Trial]) -> Grid:
    """A row for the full model and one for each ablation, in the order of the paper's tables.

    Raises:
        ConfigError: an ablation is unknown, or its questions are not those of the full model.
    """
    unknown = sorted({trial.result.name for trial in trials} - {*ABLATIONS})
    if unknown:
        raise ConfigError(f'ablation: expected some of {", ".join(ABLATIONS)}, got {", ".join(unknown)}')
    order = [*ABLATIONS]
    rows: list[tuple[str, ...]] = [('', 'full model', *_numbers(full), '', f'{FULL_MAP:.1f}', '')]
    rows += [_row(full, trial) for trial in sorted(trials, key=lambda trial: order.index(trial.result.name))]
    headings = (
        'table', 'model', 'mAP', 'mAP, one target', 'gIoU', 'median, ms', 'full is better by (95 %)', 'paper: mAP', ''
    )  # fmt: skip
    return Grid(headings, tuple(rows))


def _row(full: Trial, trial: Trial) -> tuple[str, ...]:
    known = ABLATIONS[trial.result.name]
    try:
        low, high = gain(full.judged, trial.judged, mean_average_precision)
    except ValueError as error:
        raise ConfigError(f'{trial.result.folder}: {error}') from None
    paper = '' if known.paper_map is None else f'{known.paper_map:.1f}'
    return (str(known.table), known.title, *_numbers(trial), interval((low, high)), paper, _verdict(known, low))


def _numbers(trial: Trial) -> tuple[str, str, str, str]:
    judged, speed = trial.judged, trial.result.speed
    everything, is_single = np.ones(len(judged.questions)), (judged.target_count == 1).astype(np.float64)
    return (
        percent(mean_average_precision(judged, everything)),
        percent(mean_average_precision(judged, is_single)),
        percent(giou(judged, everything)),
        milliseconds(speed, 'p50'),
    )


def _verdict(known: Ablation, low: float) -> str:
    """Confirmed only where chance is no explanation."""
    if not known.is_known:
        return ''
    return 'confirmed' if low > 0 else 'not confirmed'
