"""`Grid`: a table of a report before it is drawn, for the terminal, a page or a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """A table of a report.

    Attributes:
        headings: one a column; the first column says what a row is about, the others are aligned on the right.
        rows: as many cells each as there are headings.
        note: what stands below.

    Raises:
        ValueError: a row is longer or shorter than the headings.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ''

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f'rows: expected {len(self.headings)} cells, got {row}')


def as_rich(grid: Grid) -> Table:
    """For the terminal."""
    table = Table(caption=grid.note or None)
    for number, heading in enumerate(grid.headings):
        table.add_column(heading, justify='right' if number else 'left')
    for row in grid.rows:
        table.add_row(*row)
    return table


def as_html(grid: Grid) -> str:
    """For a page."""
    head = ''.join(f'<th>{escape(heading)}</th>' for heading in grid.headings)
    body = ''.join(f'<tr>{_cells(row)}</tr>\n' for row in grid.rows)
    caption = f'<caption>{escape(grid.note)}</caption>' if grid.note else ''
    return f'<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>'


def as_markdown(grid: Grid) -> str:
    """For a document."""
    rule = ['---', *['---:'] * (len(grid.headings) - 1)]
    lines = ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |' for row in (grid.headings, *grid.rows)]
    lines.insert(1, '|' + '|'.join(rule) + '|')
    return '\n'.join([*lines, *(['', grid.note] if grid.note else [])])


def percent(value: float | None) -> str:
    """A share as it is shown; nothing where there is none."""
    return '' if value is None else f'{100 * value:.1f}'


def interval(ends: Sequence[float] | None) -> str:
    """An interval of shares as it is shown; nothing where there is none."""
    return '' if ends is None else f'{percent(ends[0])} to {percent(ends[1])}'


def _cells(row: Sequence[str]) -> str:
    return ''.join(f'<td>{escape(cell)}</td>' for cell in row)
