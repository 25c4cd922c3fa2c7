"""What was measured, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from instructsam_model.bench.scenarios import SCENARIOS
from instructsam_model.bench.stages import STAGES


def print_measured(result: dict[str, Any]) -> Iterator[Table | str]:
    """Whether it is right, the scenarios, their stages, and what takes longest."""
    if 'check' in result:
        yield 'beside the CPU in float32: ' + ', '.join(f'{name} {value}' for name, value in result['check'].items())
    yield scenario_table(result)
    yield stage_table(result)
    if 'profile' in result:
        yield profile_table(result['profile'])


def scenario_table(result: dict[str, Any]) -> Table:
    """The scenarios, one a row."""
    title = f'{result["model"]}: {result["parameters"] / 1e6:.1f} M parameters, {result["dtype"]}, {result["size"]}'
    table = Table(title=title)
    table.add_column('answer')
    for heading in ('p50 ms', 'p95 ms', 'p99 ms', 'TFLOP', 'TFLOP/s', 'floor ms', 'naive / ours', 'modeled ms'):
        table.add_column(heading, justify='right')
    for name, row in result['scenarios'].items():
        ratio = f'{row["naive_ratio"]:.2f}' if row['naive_ratio'] else ''
        modeled = f'{row["modeled_ms"]:.4g}' if row['modeled_ms'] else ''
        figures = (row[key] for key in ('p50_ms', 'p95_ms', 'p99_ms', 'tflop', 'tflop_per_s', 'floor_ms'))
        table.add_row(
            f'{name}: {SCENARIOS.get(name, "everything again")}', *(f'{each:.4g}' for each in figures), ratio, modeled
        )
    return table


def stage_table(result: dict[str, Any]) -> Table:
    """Where the time of one watched answer goes."""
    table = Table(title='stages, ms of one answer')
    table.add_column('answer')
    for stage in STAGES:
        table.add_column(stage, justify='right')
    for name, row in result['scenarios'].items():
        table.add_row(name, *(f'{row["stages_ms"][stage]:.1f}' for stage in STAGES))
    return table


def profile_table(rows: list[dict[str, Any]]) -> Table:
    """What takes longest in a warm answer."""
    table = Table(title='profile of a warm answer')
    for heading in rows[0]:
        table.add_column(heading, justify='left' if heading == 'name' else 'right')
    for row in rows:
        table.add_row(*map(str, row.values()))
    return table
