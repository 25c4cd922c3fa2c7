"""The text of docs/tabletop.md: numbers, ablations and example images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from instructsam_training.evaluation.report.compare import EvaluationResult
from instructsam_training.evaluation.report.grid import Grid, as_markdown, percent, percent_range
from instructsam_training.evaluation.report.speed import milliseconds, speed_line
from instructsam_training.evaluation.report.table import heading

METRICS = ('mAP', 'gIoU', 'accuracy', 'cIoU', 'N-acc', 'T-acc')
MAX_SHUFFLED_MAP = 0.15
"""Goal for shuffled instructions: a model that uses the instruction has a lower mAP."""
METRICS_NOTE = """\
mAP, gIoU and cIoU are defined as in the paper. accuracy is the share of queries with an IoU above 0.5; an empty
prediction for a query without a target counts as correct. N-acc is the share of queries without a target that have an
empty prediction, T-acc the share of the other queries that have a non-empty one. Numbers are percentages, intervals are
95 % confidence intervals by bootstrap over images. Scenes and wordings of the test split are not in the training data.
For "shuffled", each query is given the instruction of another query, which shows the accuracy of a model that ignores
the instruction."""
IMAGES_NOTE = """\
For each kind of query, random examples of correct predictions (IoU above 0.5) and, below them, of wrong predictions.
The ground truth is green, the prediction orange."""


def make_document(
    result: EvaluationResult,
    shuffled: EvaluationResult | None,
    sheets: Mapping[str, Path],
    machine: str,
) -> str:
    """Return the document as Markdown.

    Args:
        result: the evaluation.
        shuffled: the evaluation with shuffled instructions; None to leave it out.
        sheets: images by kind of query, relative to the document.
        machine: on which the latency was measured; may be empty.
    """
    return '\n\n'.join(_blocks(result, shuffled, sheets, machine)) + '\n'


def _blocks(
    result: EvaluationResult,
    shuffled: EvaluationResult | None,
    sheets: Mapping[str, Path],
    machine: str,
) -> Iterator[str]:
    yield '# The simulated tabletop'
    source = result.report['settings']['source']
    yield (
        f'{heading(result.report)}. Checkpoint: {source}. `make tabletop-eval` runs this evaluation for the embedded '
        'checkpoint.'
    )
    yield as_markdown(_overall_grid(result, shuffled))
    yield METRICS_NOTE
    yield as_markdown(_goals_grid(result, shuffled))
    for dimension, title in (('targets', 'Number of targets'), ('kind', 'Kind of query')):
        yield f'## {title}'
        yield as_markdown(_strata_grid(dimension, result, shuffled))
    # The remaining sections are left out if there are no data for them.
    if result.speed:
        yield '## Latency'
        yield f'{speed_line(result.speed)}.' + (f' Measured on {machine}.' if machine else '')
        yield as_markdown(_stages_grid(result))
    yield '## Examples'
    yield IMAGES_NOTE
    for kind, file in sheets.items():
        yield f'### {kind}'
        yield f'![queries of the kind {kind}]({file.as_posix()})'


def _overall_grid(result: EvaluationResult, shuffled: EvaluationResult | None) -> Grid:
    rows = []
    for name in METRICS:
        last = [] if shuffled is None else [percent(shuffled.report['overall'][name])]
        interval = percent_range(result.report['intervals'].get(name))
        rows.append((name, percent(result.report['overall'][name]), interval, *last))
    return Grid(('metric', '%', '95 % interval', *_last_heading(shuffled, 'shuffled')), tuple(rows))


def _goals_grid(result: EvaluationResult, shuffled: EvaluationResult | None) -> Grid:
    # Goals of the embedded checkpoint; a number that is undefined has no row.
    targets = result.report['strata']['targets']
    goals = [
        ('mAP', 0.60, result.report['overall']['mAP']),
        ('mAP of queries with one target', 0.75, targets['1']['mAP']),
        ('gIoU of queries without a target', 0.85, targets['0']['gIoU']),
    ]
    rows = [
        (name, f'at least {percent(goal)}', percent(value), _yes_or_no(value >= goal))
        for name, goal, value in goals
        if value is not None
    ]
    if shuffled is not None:
        value = shuffled.report['overall']['mAP']
        goal, is_reached = f'below {percent(MAX_SHUFFLED_MAP)}', value < MAX_SHUFFLED_MAP
        rows.append(('mAP with shuffled instructions', goal, percent(value), _yes_or_no(is_reached)))
    return Grid(('metric', 'goal', 'value', 'reached'), tuple(rows))


def _strata_grid(dimension: str, result: EvaluationResult, shuffled: EvaluationResult | None) -> Grid:
    names, rows = METRICS[:3], []
    for label, row in result.report['strata'][dimension].items():
        last = [] if shuffled is None else [percent(shuffled.report['strata'][dimension][label]['accuracy'])]
        rows.append((label, str(row['queries']), *(percent(row[name]) for name in names), *last))
    return Grid((dimension, 'queries', *names, *_last_heading(shuffled, 'accuracy, shuffled')), tuple(rows))


def _stages_grid(result: EvaluationResult) -> Grid:
    rows = [
        (name, milliseconds({'seconds': values}, 'p50'), milliseconds({'seconds': values}, 'p95'))
        for name, values in result.speed['stages'].items()
    ]
    return Grid(('stage', 'median, ms', '95th percentile, ms'), tuple(rows))


def _last_heading(shuffled: EvaluationResult | None, text: str) -> tuple[str, ...]:
    """Return the heading of the last column; none if there is no evaluation with shuffled instructions."""
    return () if shuffled is None else (text,)


def _yes_or_no(value: bool) -> str:
    return 'yes' if value else 'no'
