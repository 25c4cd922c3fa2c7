"""Lays out a table: this evaluation beside the rows of the paper, as text cells and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instructsam_model.weights.embedded import EMBEDDED
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.published import PublishedResult
from instructsam_training.evaluation.report.grid import Grid, percent_range
from instructsam_training.tables.measure import Measured
from instructsam_training.tables.table import FULL, SPEED, Column, Number, Row, Table

THIS, PAPER = 'this evaluation', 'paper'
GAIN = 'gain of the first row, 95 %'
EMBEDDED_NOTE = 'the embedded checkpoint knows simulated tabletops only: its numbers are not those of a benchmark'
UNKNOWN = '?'
"""Cell of a number of the paper that is not known here."""
TABLES_OF_GREFCOCO = 'Tables 2 to 4'

Measurements = Mapping[str, Measured]
"""By name of the row; rows that were not evaluated are missing."""
Gains = Mapping[str, tuple[float, float]]
"""Interval of the gain of the first row over a row, by its name."""


def make_grid(table: Table, measured: Measurements, gains: Gains) -> Grid:
    """Return the table for the terminal and for Markdown."""
    # Below the table: what a reader must know before comparing its numbers.
    embedded = any(each.checkpoint == EMBEDDED for each in measured.values())
    notes = table.note, f'{UNKNOWN}: not known here', _counts(measured), EMBEDDED_NOTE if embedded else ''
    note = '; '.join(filter(None, notes))
    return _methods_grid(table, measured, note) if table.compares_methods else _rows_grid(table, measured, gains, note)


def make_report(
    table: Table, measured: Measurements, gains: Gains, missing: Mapping[str, str], no_data: list[str]
) -> dict[str, Any]:
    """Return everything of a table, ready for JSON.

    Args:
        table: of the paper.
        measured: evaluated rows.
        gains: see `Gains`.
        missing: why a row was not evaluated, by name.
        no_data: benchmarks without data.
    """
    return {
        'table': table.number,
        'title': table.title,
        'note': table.note,
        'rows': [
            {
                'name': row.name,
                'title': row.title,
                'paper': dict(row.published),
                'not evaluated': missing.get(row.name),
                **_measured(measured.get(row.name)),
                # Shares as percent, like all numbers of the report.
                'gain of the first row': [100 * end for end in gains[row.name]] if row.name in gains else None,
            }
            for row in table.rows
        ],
        'methods of the paper': {
            method: {
                column.heading: number for column in table.columns if (number := published(results, column)) is not None
            }
            for method, results in published_methods(table).items()
        },
        'benchmarks without data': no_data,
    }


def published_methods(table: Table) -> dict[str, dict[tuple[str, str], PublishedResult]]:
    """Return the results of the methods in a table of the paper, by method and by benchmark and split."""
    # It is not known here which of these tables has the results of gRefCOCO.
    sources = f'Table {table.number}', TABLES_OF_GREFCOCO
    methods: dict[str, dict[tuple[str, str], PublishedResult]] = {}
    if table.compares_methods:
        for benchmark, split in table.evaluations:
            for result in BENCHMARKS[benchmark].published.get(split, ()):
                if result.source in sources:
                    methods.setdefault(result.method, {})[benchmark, split] = result
    return methods


def published(results: Mapping[tuple[str, str], PublishedResult], column: Column) -> float | None:
    """Return the number of a method in a column of one part; None if it is not known here."""
    [part] = column.parts  # tables of methods have no means
    result = results.get((part.benchmark, part.split))
    return None if result is None else result.numbers.get(part.stratum, {}).get(part.metric)


def first_number(table: Table) -> Number:
    """Return the number that models are compared by."""
    return table.columns[0].parts[0]


def _methods_grid(table: Table, measured: Measurements, note: str) -> Grid:
    """One row for each number, one column for each method: there are more numbers than methods."""
    methods = published_methods(table)
    rows = []
    for column in table.columns:
        ours = measured[FULL].numbers.get(column.heading)
        theirs = (published(results, column) for results in methods.values())
        # A cell for each heading: this evaluation, then each method of the paper.
        rows.append(
            (column.heading, _cell(ours, column.heading), *(_paper_cell(each, column.heading) for each in theirs))
        )
    return Grid((f'Table {table.number}, %', THIS, *methods), tuple(rows), note)


def _rows_grid(table: Table, measured: Measurements, gains: Gains, note: str) -> Grid:
    """One row for each model; each number is followed by that of the paper."""
    # Two columns for each number; the gain, if there are rows to compare.
    headings = [text for heading in table.headings for text in (heading, f'{heading}, {PAPER}')]
    gain = (GAIN,) if len(table.rows) > 1 else ()
    rows = []
    for row in table.rows:
        cells = [cell for heading in table.headings for cell in _cells(row, measured.get(row.name), heading)]
        rows.append((row.title, *cells, *((percent_range(gains.get(row.name)),) if gain else ())))
    return Grid((f'Table {table.number}', *headings, *gain), tuple(rows), note)


def _cells(row: Row, measured: Measured | None, heading: str) -> tuple[str, str]:
    """Return the two cells of a number: this evaluation's, and the paper's."""
    ours = None if measured is None else measured.numbers.get(heading)
    return _cell(ours, heading), _paper_cell(row.published.get(heading), heading)


def _cell(value: float | None, heading: str) -> str:
    # Seconds and GiB with two decimals, percent with one.
    return '' if value is None else f'{value:.{2 if heading in SPEED else 1}f}'


def _paper_cell(value: float | None, heading: str) -> str:
    return UNKNOWN if value is None else f'{value:.1f}'


def _counts(measured: Measurements) -> str:
    """Say how many queries were scored, because a part of a benchmark does not compare with the paper."""
    # The rows are evaluated on the same queries, so one count for each evaluation is enough.
    counts = {name: count for each in measured.values() for name, count in each.queries.items()}
    return 'queries: ' + ', '.join(f'{count} of {name}' for name, count in counts.items())


def _measured(measured: Measured | None) -> dict[str, Any]:
    """Return what was measured of a row, ready for JSON."""
    if measured is None:
        return {THIS: None}
    return {
        THIS: dict(measured.numbers),
        'checkpoint': measured.checkpoint,
        'queries': dict(measured.queries),
        'folders': [str(folder) for folder in measured.folders.values()],
    }
