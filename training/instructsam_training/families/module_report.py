"""The table of trained and frozen parameters of each module of a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class ModuleReport:
    """Parameters of one module.

    Attributes:
        module: name.
        parameters: number of parameters.
        trainable: number of those that are trained.
        rate: their learning rate; 0 if the module is frozen.
    """

    module: str
    parameters: int
    trainable: int
    rate: float


def modules_table(rows: Iterable[ModuleReport], title: str) -> Table:
    """Return the report as a table, with totals."""
    table = Table(title=title)
    for heading in ('module', 'parameters', 'trainable', 'frozen', 'rate'):
        table.add_column(heading, justify='left' if heading == 'module' else 'right')
    total = trainable = 0
    for row in rows:
        total, trainable = total + row.parameters, trainable + row.trainable
        rate = f'{row.rate:.0e}' if row.trainable else ''
        table.add_row(
            row.module, f'{row.parameters:,}', f'{row.trainable:,}', f'{row.parameters - row.trainable:,}', rate
        )
    table.add_section()
    table.add_row('all', f'{total:,}', f'{trainable:,}', f'{total - trainable:,}', '')
    return table
