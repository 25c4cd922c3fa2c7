"""Terminal tables of modeled results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from instructsam_model.bench.scenarios import describe_scenario

NOTE = (
    'These are modeled times, not measurements: the code ran on tensors without contents, and times are estimated from '
    'the data sheets of the GPUs (instructsam_model/fake_cuda/time_model.py, gpus.py).'
)
COUNTS = ('kernels', 'inductor_kernels', 'launches', 'host_waits', 'tflop', 'gbyte', 'peak_memory_gib')
TIMES = ('modeled_eager_ms', 'modeled_eager_graphs_ms', 'modeled_inductor_ms')
HEADINGS = {
    'inductor_kernels': 'inductor',
    'host_waits': 'waits',
    'tflop': 'TFLOP',
    'gbyte': 'GB',
    'peak_memory_gib': 'GiB',
    'modeled_eager_ms': 'eager ms',
    'modeled_eager_graphs_ms': 'graphs ms',
    'modeled_inductor_ms': 'fused ms',
    'modeled_ms': 'ms',
}


def render_modeled(result: dict[str, Any]) -> Iterator[Table | str]:
    """Yield scenarios, times, stages, host waits, and a note that the times are modeled."""
    title = (
        f'{result["model"]}: {result["parameters"] / 1e6:.1f} M parameters, {result["dtype"]}, {result["size"]}, '
        f'engine {result["engine"]}, {result["device"]}'
    )
    yield _table(title, 'scenario', COUNTS, result['scenarios'])
    yield _table(
        'modeled time: kernels one by one, in captured graphs, fused in captured graphs',
        'scenario',
        TIMES,
        result['scenarios'],
    )
    # The legend of the tables.
    yield '\n'.join(map(describe_scenario, result['scenarios']))
    for name, row in result['scenarios'].items():
        columns = tuple(column for column in (*COUNTS, 'modeled_ms') if column != 'inductor_kernels')
        yield _table(f'stages of {name}', 'stage', columns, row['stages'])
    yield _waits(result['scenarios'])
    yield NOTE


def _table(title: str, first: str, columns: tuple[str, ...], rows: dict[str, Any]) -> Table:
    # Without borders, so that it fits into 80 columns.
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(HEADINGS.get(column, column), justify='right', no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(f'{row[column]:,.6g}' for column in columns))
    return table


def _waits(scenarios: dict[str, Any]) -> Table:
    """Make a table of all places where the host waits."""
    table = Table(title='where the host waits', box=SIMPLE, pad_edge=False)
    for heading in ('scenario', 'times', 'operation', 'stage', 'at'):
        table.add_column(heading, overflow='fold')
    for name, row in scenarios.items():
        for wait in row['waits']:
            table.add_row(name, str(wait['times']), wait['name'], wait['stage'], wait['where'])
    return table
