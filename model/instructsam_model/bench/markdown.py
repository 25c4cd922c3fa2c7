"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format rows as a Markdown table; the columns are the keys of the first row."""
    columns = list(rows[0])
    lines = ['| ' + ' | '.join(columns) + ' |', '| ' + ' | '.join('---' for _ in columns) + ' |']
    lines += [
        '| ' + ' | '.join(str('' if row.get(key) is None else row[key]) for key in columns) + ' |' for row in rows
    ]
    return '\n'.join(lines) + '\n'
