"""The table of the rows: accuracy, dead runs, and what an answer takes, beside the published latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instructsam_training.evaluation.published import PUBLISHED_LATENCIES
from instructsam_training.evaluation.report.grid import Grid, percent

METRICS = ('mAP', 'gIoU')
COUNTS = ('rounds', 'calls', 'tokens')
"""Means per question."""
HEADINGS = ('model', *METRICS, 'not died', 'died', *COUNTS, 's')
SAM3 = 'sam3'


def read_row(title: str, report: Mapping[str, Any], speed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a row; None where a model has no rounds.

    Args:
        title: of the row.
        report: content of its report.json.
        speed: content of its speed.json.
    """
    runs = report['runs']
    counts = runs.get('counts', {})
    means = {name: summary['mean'] for name, summary in counts.items()}
    if counts:
        means['tokens'] = means['prompt tokens'] + means['generated tokens']
    not_died = runs.get('metrics', {}).get('not died', {})
    return {
        'model': title,
        'questions': report['scored'],
        'metrics': {name: report['overall'][name] for name in METRICS},
        'metrics_not_died': {name: not_died.get(name) for name in METRICS} if runs else None,
        'ended': runs.get('ended'),
        'died': runs.get('died'),
        'died_right': runs.get('died_right'),
        **{name: means.get(name) for name in COUNTS},
        'seconds': speed['seconds']['mean'] if speed else None,
    }


def make_grid(rows: Sequence[Mapping[str, Any]], questions: int, phrases: str, seconds: float) -> Grid:
    """Return the table.

    Args:
        rows: from `read_row`.
        questions: number of questions.
        phrases: back end that finds phrases.
        seconds: that the evaluation took, of this run of the command.
    """
    found_by = 'by SAM3' if phrases == SAM3 else f"by the back end {phrases} in place of SAM3, asked for 'the PHRASE'"
    latencies = ', '.join(f'{each.method} {each.seconds} s ({each.source})' for each in PUBLISHED_LATENCIES)
    note = (
        f'{questions} questions about the simulated tabletop; metrics in percent. In place of a vision-language model, '
        'an oracle that knows the ground truth calls the tools, with mistakes in a share of its replies. It takes no '
        f'time, and its tokens are estimates. Phrases are found {found_by}; rows with names or questions have no '
        'language model; strict is the agent as the public code behaves. Not died: gIoU of the runs that ended with a '
        'decision; died: the others, in brackets those that count as right because there was nothing to find. Rounds, '
        'calls, tokens and seconds are means per question. '
        f'The command took {seconds:.0f} s. Published latencies, with a real model: {latencies}'
    )
    return Grid(HEADINGS, tuple(_cells(row) for row in rows), note)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    has_runs = row['died'] is not None
    return (
        row['model'],
        *(percent(row['metrics'][name]) for name in METRICS),
        percent(row['metrics_not_died']['gIoU']) if has_runs else '',
        f'{row["died"]} ({row["died_right"]})' if has_runs else '',
        *('' if row[name] is None else _number(row[name]) for name in COUNTS),
        '' if row['seconds'] is None else f'{row["seconds"]:.2f}',
    )


def _number(value: float) -> str:
    return f'{value:,.0f}' if value >= 100 else f'{value:.2f}'
