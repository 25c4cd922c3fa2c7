"""The tables of a report, in percent: overall, by stratum, and in comparison with published methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from instructsam_training.evaluation.published import ALL
from instructsam_training.evaluation.report.grid import Grid, as_rich, percent, percent_range
from instructsam_training.evaluation.report.runs import runs_grids

MAX_STRATUM_METRICS = 4
"""Columns of the tables by stratum; report.json has all metrics."""
THIS_EVALUATION = 'this evaluation'
OTHER_NAMES = {'mIoU': 'cIoU'}
"""Numbers that the public scripts name otherwise than the field."""
PUBLISHED_NOTE = 'tables without a paper are those of arXiv 2605.26102'


def report_tables(report: Mapping[str, Any]) -> Iterator[str | Table]:
    """Yield the heading and all tables, for the terminal."""
    yield heading(report)
    yield from map(as_rich, report_grids(report))


def report_grids(report: Mapping[str, Any]) -> Iterator[Grid]:
    """Yield the tables of all queries, of the strata, of the runs of an agent, and of the published methods."""
    yield _overall_grid(report)
    metrics = [name for name in report['overall'] if name != 'queries'][:MAX_STRATUM_METRICS]
    for dimension, strata in report['strata'].items():
        yield _strata_grid(dimension, strata, metrics)
    # Reports of earlier versions have no runs.
    yield from runs_grids(report.get('runs', {}), metrics)
    if report.get('public'):
        yield _public_grid(report)
    if report['published']:
        yield _published_grid(report)


def heading(report: Mapping[str, Any]) -> str:
    """Return one line: the benchmark, how many queries were scored, and the back end that predicted them.

    It also counts the queries without a target, of which a wrong file may have too many.
    """
    settings = report['settings']
    backend = f', back end {settings["backend"]}' if settings['backend'] else ''
    shuffled = '' if settings['shuffle_seed'] is None else ', with shuffled instructions'
    without = report['queries_without_target']
    counts = f'{report["scored"]} of {report["queries"]} queries on {report["images"]} images'
    counts += f', {without} without a target' if without else ''
    return f'{report["benchmark"]} {settings["split"]}: {counts}{backend}{shuffled}'


def _overall_grid(report: Mapping[str, Any]) -> Grid:
    rows = [
        (name, percent(value), percent_range(report['intervals'].get(name)))
        for name, value in report['overall'].items()
        if name != 'queries'
    ]
    return Grid(('metric', '%', '95 % interval'), tuple(rows))


def _strata_grid(dimension: str, strata: Mapping[str, Mapping[str, Any]], metrics: Sequence[str]) -> Grid:
    rows = [
        (label, str(row['queries']), *(percent(row[metric]) for metric in metrics)) for label, row in strata.items()
    ]
    return Grid((dimension, 'queries', *metrics), tuple(rows))


def _public_grid(report: Mapping[str, Any]) -> Grid:
    """Return the numbers of the public scripts, which have their own names, beside ours with the no-target rule."""
    public = report['public']
    left_out = '; '.join(f'{number} {what}' for what, number in public['left_out'].items())
    rows = [
        (f'{name}{f" (that is {OTHER_NAMES[name]})" if name in OTHER_NAMES else ""}', percent(value))
        for name, value in public['numbers'].items()
    ]
    note = f'over {public["counted"]} {"records" if public["protocol"] == "1to1" else "instructions"}'
    heading = f'public evaluation, {public["protocol"]}'
    return Grid((heading, '%'), tuple(rows), f'{note}; {left_out}' if left_out else note)


def _published_grid(report: Mapping[str, Any]) -> Grid:
    """Return one row for this evaluation and one for each published method."""
    results = report['published']
    columns = _published_columns(results)
    rows_by_stratum = _rows_by_stratum(report)
    own = (percent(rows_by_stratum.get(stratum, {}).get(metric)) for stratum, metric in columns)
    rows = [(THIS_EVALUATION, *own, '')]
    for result in results:
        # Published numbers are percent already; a cell is empty if the method has no number for it.
        numbers = (result['numbers'].get(stratum, {}).get(metric) for stratum, metric in columns)
        rows.append((result['method'], *('' if each is None else f'{each:.1f}' for each in numbers), result['source']))
    names = (metric if stratum == ALL else f'{metric} ({stratum})' for stratum, metric in columns)
    return Grid(('method', *names, 'source'), tuple(rows), PUBLISHED_NOTE)


def _published_columns(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return every stratum and metric that a method has a number for, in the order of the methods."""
    strata = (item for result in results for item in result['numbers'].items())
    return list(dict.fromkeys((stratum, metric) for stratum, metrics in strata for metric in metrics))


def _rows_by_stratum(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    # Published numbers name a stratum but not its dimension; names of strata are unique.
    rows: dict[str, Mapping[str, Any]] = {ALL: report['overall']}
    for strata in report['strata'].values():
        rows |= strata
    return rows
