"""The tables of a report: percent, beside the paper's own numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from instructsam_training.evaluation.published import ALL
from instructsam_training.evaluation.report.grid import Grid, as_rich, interval, percent

SHOWN_OF_PARTS = 4
"""So many metrics are shown for the parts of a benchmark; all are in report.json."""


def report_tables(report: Mapping[str, Any]) -> Iterator[str | Table]:
    """For the terminal: a heading, and all tables."""
    yield heading(report)
    yield from map(as_rich, report_grids(report))


def report_grids(report: Mapping[str, Any]) -> Iterator[Grid]:
    """All questions together, metric by metric; then the parts of the benchmark, if it has any."""
    yield _overall(report)
    names = [name for name in report['overall'] if name != 'questions'][:SHOWN_OF_PARTS]
    for dimension, strata in report['strata'].items():
        yield _parts(dimension, strata, report['paper'], names)


def speed_line(speed: Mapping[str, Any]) -> str:
    """How long answers took."""
    seconds = speed['seconds']
    return (
        f'{speed["answers"]} answers: median {1000 * seconds["p50"]:.0f} ms, '
        f'95 % within {1000 * seconds["p95"]:.0f} ms; at most {speed["peak_memory_gib"]:.2f} GiB of memory'
    )


def heading(report: Mapping[str, Any]) -> str:
    """What was asked, and how much of it was answered."""
    setting = report['setting']
    shuffled = '' if setting['shuffle'] is None else ', each with the instruction of another'
    answered = f'{report["answered"]} of {report["questions"]} questions about {report["pictures"]} pictures'
    return f'{report["benchmark"]} {setting["split"]}: {answered}{shuffled}'


def _overall(report: Mapping[str, Any]) -> Grid:
    paper = report['paper'].get(ALL, {})
    rows = [
        (name, percent(value), interval(report['intervals'].get(name)), f'{paper[name]:.1f}' if name in paper else '')
        for name, value in report['overall'].items()
        if name != 'questions'
    ]
    headings = ('', '%', '95 % interval', 'paper, InstructSAM-2B')
    columns = len(headings) if paper else len(headings) - 1
    return Grid(headings[:columns], tuple(row[:columns] for row in rows))


def _parts(
    dimension: str, strata: Mapping[str, Mapping[str, Any]], paper: Mapping[str, Any], names: Sequence[str]
) -> Grid:
    rows = []
    for label, row in strata.items():
        published = paper.get(label, {})
        brackets = [f' ({published[name]:.1f})' if name in published else '' for name in names]
        cells = (f'{percent(row[name])}{bracket}' for name, bracket in zip(names, brackets, strict=True))
        rows.append((label, str(row['questions']), *cells))
    is_in_paper = any(label in paper for label in strata)
    return Grid((dimension, 'questions', *names), tuple(rows), 'in brackets the paper' if is_in_paper else '')
