"""Compares evaluations in one table: accuracy, latency and memory.

python -m instructsam_training.evaluation.report.compare 10=runs/k10/evaluation 50=runs/k50/evaluation --markdown
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.file_kind import REPORT, check_kind
from instructsam_training.datasets.io.files import load_json
from instructsam_training.evaluation.published import PUBLISHED_LATENCIES
from instructsam_training.evaluation.report.grid import Grid, as_markdown, as_rich, percent
from instructsam_training.evaluation.report.speed import milliseconds

MAX_METRICS = 3
"""Number of metrics in the table; a benchmark lists the most important ones first."""


RUN_COUNTS = ('rounds', 'calls', 'prompt tokens', 'generated tokens')
"""What the runs of an agent took."""


@dataclass(frozen=True)
class EvaluationResult:
    """The files of an evaluation.

    Attributes:
        name: label of the evaluation.
        folder: folder with its files.
        report: content of report.json.
        speed: content of speed.json; empty if latency was not measured.
    """

    name: str
    folder: Path
    report: Mapping[str, Any]
    speed: Mapping[str, Any]

    @property
    def benchmark(self) -> str:
        """Benchmark and split."""
        return f'{self.report["benchmark"]} {self.report["settings"]["split"]}'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if the table is printed and 2 on an error."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.evaluation.report.compare', description=(__doc__ or '').partition('\n')[0]
    )
    parser.add_argument('results', nargs='+', metavar='NAME=FOLDER', help='a label, and the folder of an evaluation')
    parser.add_argument('--markdown', action='store_true', help='print Markdown')
    arguments = parser.parse_args(argv)
    try:
        grid = comparison_grid([parse_result(text) for text in arguments.results])
    except ConfigError as error:
        print(f'compare: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    if arguments.markdown:
        print(as_markdown(grid))
    else:
        Console().print(as_rich(grid))
    return 0


def parse_result(text: str) -> EvaluationResult:
    """Load the evaluation of `NAME=FOLDER`.

    Raises:
        ConfigError: the text has another form, or the folder has no report.
    """
    name, _, folder = text.partition('=')
    if not name or not folder:
        raise ConfigError(f'expected NAME=FOLDER, got {text!r}')
    return load_result(Path(folder), name)


def load_result(folder: Path, name: str = '') -> EvaluationResult:
    """Load an evaluation; its default name is that of the folder.

    Raises:
        ConfigError: the report is missing or damaged, or it is another file.
    """
    # Predictions that were read from a file have no latency, and no speed.json.
    speed, report = folder / 'speed.json', folder / 'report.json'
    check_kind(report, (REPORT,))
    return EvaluationResult(
        name or folder.name,
        folder,
        load_json(report),
        load_json(speed) if speed.exists() else {},
    )


def comparison_grid(results: Sequence[EvaluationResult]) -> Grid:
    """Return a table with one row for each evaluation.

    Raises:
        ConfigError: the evaluations differ in benchmark or split.
    """
    # Numbers of different benchmarks or splits do not compare.
    benchmarks = {result.benchmark for result in results}
    if len(benchmarks) != 1:
        raise ConfigError(f'expected evaluations of one benchmark and split, got {", ".join(sorted(benchmarks))}')
    metrics = [name for name in results[0].report['overall'] if name != 'queries'][:MAX_METRICS]
    headings = (benchmarks.pop(), *(f'{name}, %' for name in metrics), 'median, ms', '95 % within, ms', 'memory, GiB')
    # Agents answer in rounds; the other models have no such numbers.
    has_runs = any(result.report.get('runs') for result in results)
    if has_runs:
        headings += ('died', *(f'{name}, mean' for name in RUN_COUNTS))
    rows = [
        (
            result.name,
            *(percent(result.report['overall'].get(name)) for name in metrics),
            *_speed_cells(result.speed),
            *(_run_cells(result.report.get('runs', {})) if has_runs else ()),
        )
        for result in results
    ]
    latencies = ', '.join(f'{each.method} {each.seconds} s ({each.source})' for each in PUBLISHED_LATENCIES)
    return Grid(headings, tuple(rows), f'published latencies: {latencies}')


def _run_cells(runs: Mapping[str, Any]) -> tuple[str, ...]:
    if not runs:
        return ('',) * (1 + len(RUN_COUNTS))
    counts = runs['counts']
    return str(runs['died']), *(f'{counts[name]["mean"]:.2f}' for name in RUN_COUNTS)


def _speed_cells(speed: Mapping[str, Any]) -> tuple[str, str, str]:
    memory = f'{speed["peak_memory_gib"]:.2f}' if speed else ''
    return milliseconds(speed, 'p50'), milliseconds(speed, 'p95'), memory


if __name__ == '__main__':
    sys.exit(main())
