"""Evaluates a model on the benchmarks of a table; every evaluation is one of `instructsam-eval`, with a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.backend_arguments import given_options
from instructsam_training.api import open_segmenter
from instructsam_training.data.sample import SkipReport
from instructsam_training.datasets.io.files import load_json
from instructsam_training.evaluation.arguments import build_parser
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.bootstrap import difference_interval
from instructsam_training.evaluation.command import evaluate_benchmark
from instructsam_training.evaluation.metrics import METRICS
from instructsam_training.evaluation.prediction import load_predictions
from instructsam_training.evaluation.published import ALL
from instructsam_training.evaluation.scoring import ScoredPredictions, score
from instructsam_training.tables.table import CALLS, LATENCY, MEMORY, Column, Number, Row, Table

Evaluation = tuple[str, str]
"""Benchmark and split."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a row.

    Attributes:
        checkpoint: that was evaluated.
        folders: of its evaluations.
        numbers: by heading: percent, or as `SPEED` says; None where a number is undefined or has no data.
        queries: number of scored queries of each evaluation, `benchmark split`.
    """

    checkpoint: str
    folders: Mapping[Evaluation, Path]
    numbers: Mapping[str, float | None]
    queries: Mapping[str, int]


def measure(
    table: Table, row: Row, checkpoint: str, data: Mapping[str, Path], folder: Path, flags: Sequence[str]
) -> Measured:
    """Evaluate the checkpoint of a row on all benchmarks that there are data for.

    Args:
        table: that the row is of.
        row: its options are those of the back end `instructsam`.
        checkpoint: folder, hub id, or `embedded`.
        data: folder of each benchmark.
        folder: each evaluation gets a folder in it.
        flags: of `instructsam-eval`, for all evaluations.

    Raises:
        CheckpointError, ConfigError, OSError: as `evaluate_benchmark`.
    """
    # 1. Evaluate; predictions that are in the folder already are used again.
    folders: dict[Evaluation, Path] = {}
    for benchmark, split in table.evaluations:
        if benchmark in data:
            out = folder / f'{benchmark}-{split}'
            paths = f'--data={data[benchmark]}', f'--checkpoint={checkpoint}', f'--out={out}'
            evaluate(table, row, [benchmark, f'--split={split}', *paths, *option_flags(row), *flags])
            folders[benchmark, split] = out
    # 2. Read the numbers from the reports, as a user would.
    reports = {key: load_json(out / 'report.json') for key, out in folders.items()}
    numbers = {column.heading: read_column(column, reports) for column in table.columns}
    if table.has_speed:
        # Tables with speed are about one benchmark.
        numbers |= read_speed(next(iter(folders.values())))
    if table.has_calls:
        numbers[CALLS] = read_calls(next(iter(reports.values())))
    queries = {' '.join(key): report['scored'] for key, report in reports.items()}
    return Measured(checkpoint, folders, numbers, queries)


def option_flags(row: Row) -> list[str]:
    """Return the options of a row as flags of `instructsam-eval`."""
    return [text for name, value in row.options.items() for text in (f'--instructsam.{name}', str(value))]


def evaluate(table: Table, row: Row, flags: Sequence[str]) -> None:
    """Run `instructsam-eval`; its tables go to stderr with its progress, because stdout is for the paper's table."""
    parsed = build_parser('instructsam-eval', '').parse_args(flags)
    choose_backend(table, row, parsed)
    with redirect_stdout(sys.stderr):
        evaluate_benchmark(parsed, open_segmenter, Console(stderr=True))


def choose_backend(table: Table, row: Row, arguments: argparse.Namespace) -> None:
    """Set the back end of a row, and drop the options that are for other rows.

    Options of a back end that a row names are for such rows only; all others are for the rows that name none.
    """
    named = {each.backend for each in table.rows} - {''}
    for option in given_options(arguments):
        backend = option.partition('.')[0]
        is_own = backend == row.backend if row.backend else backend not in named
        if not is_own:
            delattr(arguments, option)
    arguments.backend = row.backend or arguments.backend


def read_column(column: Column, reports: Mapping[Evaluation, Mapping[str, Any]]) -> float | None:
    """Return the mean of a column's numbers in percent; None if one of them is missing."""
    # A mean of a part of the numbers would not be that of the paper.
    values = [read_number(part, reports.get((part.benchmark, part.split))) for part in column.parts]
    present = [value for value in values if value is not None]
    return 100 * sum(present) / len(present) if len(present) == len(values) else None


def read_number(number: Number, report: Mapping[str, Any] | None) -> float | None:
    """Return one number of a report, 0..1; None without a report, or if it is undefined."""
    if report is None:
        return None
    # Names of strata are unique among the dimensions of a benchmark.
    rows = {ALL: report['overall']}  # metrics by stratum
    for strata in report['strata'].values():
        rows |= strata
    value: float | None = rows.get(number.stratum, {}).get(number.metric)
    return value


def read_speed(folder: Path) -> dict[str, float | None]:
    """Return the means of latency and memory over the queries of an evaluation.

    The memory of a query is the peak of the process up to it: allocated on a GPU, resident on a CPU.
    """
    # Queries that failed have no latency.
    measured = [each for each in load_predictions(folder).values() if each.seconds]
    if not measured:
        return {LATENCY: None, MEMORY: None}
    count = len(measured)
    return {
        LATENCY: sum(each.seconds for each in measured) / count,
        MEMORY: sum(each.memory_gib for each in measured) / count,
    }


def read_calls(report: Mapping[str, Any]) -> float | None:
    """Return the mean number of calls of the language model of an agent; None for other models."""
    calls: float | None = report.get('runs', {}).get('counts', {}).get('calls', {}).get('mean')
    return calls


def difference(full: Measured, other: Measured, number: Number, data: Path) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric's gain of one model over another, paired by image; None without both.

    Raises:
        ConfigError: the data cannot be read.
    """
    key = number.benchmark, number.split
    # Scored predictions are those of the whole split.
    if number.stratum != ALL or key not in full.folders or key not in other.folders:
        return None
    first, second = (_score_again(number, each.folders[key], data) for each in (full, other))
    if not first.queries or [each.id for each in first.queries] != [each.id for each in second.queries]:
        return None  # a query failed in one of them
    return difference_interval(first, second, METRICS[number.metric])


def _score_again(number: Number, folder: Path, data: Path) -> ScoredPredictions:
    """Score the predictions of a folder with the settings of its report, which itself has no numbers by query."""
    benchmark, settings = BENCHMARKS[number.benchmark], load_json(folder / 'report.json')['settings']
    predictions = load_predictions(folder)
    queries = benchmark.load_queries(data, number.split, SkipReport())
    # `--limit` leaves out queries; those with an error have no masks to score.
    pairs = [(query, predictions[query.id]) for query in queries if query.id in predictions]
    succeeded = [pair for pair in pairs if not pair[1].error]
    return score(succeeded, float(settings['min_score']), benchmark.iou_rule(settings['scoring']))
