"""`Grid`: a table of text cells, printed to the terminal or written as HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """A table of text cells.

    Attributes:
        headings: one a column; the first column is aligned left, the others right.
        rows: one cell for each heading.
        note: printed below the table.

    Raises:
        ValueError: a row does not have one cell for each heading.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ''

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f'rows: expected {len(self.headings)} cells, got {row}')


def as_rich(grid: Grid) -> Table:
    """Return the table for the terminal."""
    table = Table(caption=grid.note or None)
    for number, heading in enumerate(grid.headings):
        table.add_column(heading, justify='right' if number else 'left')
    for row in grid.rows:
        table.add_row(*row)
    return table


def as_html(grid: Grid) -> str:
    """Return the table as HTML."""
    head = ''.join(f'<th>{escape(heading)}</th>' for heading in grid.headings)
    body = ''.join(f'<tr>{_html_cells(row)}</tr>\n' for row in grid.rows)
    caption = f'<caption>{escape(grid.note)}</caption>' if grid.note else ''
    return f'<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>'


def as_markdown(grid: Grid) -> str:
    """Return the table as Markdown."""
    rule = ['---', *['---:'] * (len(grid.headings) - 1)]
    # A vertical bar within a cell would end it.
    lines = ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |' for row in (grid.headings, *grid.rows)]
    # The second line of a Markdown table sets the alignment of its columns.
    lines.insert(1, '|' + '|'.join(rule) + '|')
    return '\n'.join([*lines, *(['', grid.note] if grid.note else [])])


def percent(value: float | None) -> str:
    """Format a share as percent; None, which is undefined, is n/a."""
    return 'n/a' if value is None else f'{100 * value:.1f}'


def percent_range(ends: Sequence[float] | None) -> str:
    """Format an interval of shares as percent; None is an empty cell."""
    return '' if ends is None else f'{percent(ends[0])} to {percent(ends[1])}'


def _html_cells(row: Sequence[str]) -> str:
    return ''.join(f'<td>{escape(cell)}</td>' for cell in row)
