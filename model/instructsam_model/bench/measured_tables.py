"""Terminal tables of measured results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from instructsam_model.bench.scenarios import describe_scenario
from instructsam_model.bench.stages import STAGES


def render_measured(result: dict[str, Any]) -> Iterator[Table | str]:
    """Yield accuracy, latencies, stages and profile, as far as they were measured."""
    if 'check' in result:
        yield 'compared with float32 on the CPU: ' + ', '.join(
            f'{name} {value}' for name, value in result['check'].items()
        )
    yield scenario_table(result)
    yield stage_table(result)
    if 'profile' in result:
        yield profile_table(result['profile'])


def scenario_table(result: dict[str, Any]) -> Table:
    """Make a table with one scenario per row."""
    # Unknown for back ends without hooks.
    parameters = f'{result["parameters"] / 1e6:.1f} M parameters, ' if result['parameters'] else ''
    table = Table(title=f'{result["model"]}: {parameters}{result["dtype"]}, {result["size"]}')
    table.add_column('scenario')
    for heading in ('p50 ms', 'p95 ms', 'p99 ms', 'TFLOP', 'TFLOP/s', 'roofline ms', 'naive / ours', 'modeled ms'):
        table.add_column(heading, justify='right')
    for name, row in result['scenarios'].items():
        # Empty cells for what was not measured or modeled.
        ratio = f'{row["naive_ratio"]:.2f}' if row['naive_ratio'] else ''
        modeled = f'{row["modeled_ms"]:.4g}' if row['modeled_ms'] else ''
        figures = (row[key] for key in ('p50_ms', 'p95_ms', 'p99_ms', 'tflop', 'tflop_per_s', 'roofline_ms'))
        table.add_row(describe_scenario(name), *(f'{each:.4g}' for each in figures), ratio, modeled)
    return table


def stage_table(result: dict[str, Any]) -> Table:
    """Make a table of the stages of one run of each scenario."""
    table = Table(title='stages of one run, ms')
    table.add_column('scenario')
    for stage in STAGES:
        table.add_column(stage, justify='right')
    for name, row in result['scenarios'].items():
        table.add_row(name, *(f'{row["stages_ms"][stage]:.1f}' for stage in STAGES))
    return table


def profile_table(rows: list[dict[str, Any]]) -> Table:
    """Make a table of the profile of the scenario `warm`."""
    table = Table(title='profile of the scenario warm')
    for heading in rows[0]:
        table.add_column(heading, justify='left' if heading == 'name' else 'right')
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table
