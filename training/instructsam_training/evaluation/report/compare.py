"""Evaluations side by side: how right, how fast and how large, as in Tables 6 (queries) and 10 (latency) of the paper.

python -m instructsam_training.evaluation.report.compare 5=runs/k5/evaluation 10=runs/k10/evaluation --markdown
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from instructsam_model.errors import ConfigError
from instructsam_training.datasets.io.files import load_json
from instructsam_training.evaluation.published import SECONDS
from instructsam_training.evaluation.report.grid import Grid, as_markdown, as_rich, percent

SHOWN_METRICS = 3


@dataclass(frozen=True)
class Result:
    """An evaluation that was written to a folder.

    Attributes:
        name: what to call it.
        folder: with its files.
        report: of report.json.
        speed: of speed.json; empty where nobody measured.
    """

    name: str
    folder: Path
    report: Mapping[str, Any]
    speed: Mapping[str, Any]

    @property
    def asked(self) -> str:
        """Benchmark and split."""
        return f'{self.report["benchmark"]} {self.report["setting"]["split"]}'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the table is printed, 2 when there is none."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_training.evaluation.report.compare', description=__doc__
    )
    parser.add_argument('results', nargs='+', metavar='NAME=FOLDER', help='an evaluation and what to call it')
    parser.add_argument('--markdown', action='store_true', help='for a document')
    arguments = parser.parse_args(argv)
    try:
        grid = comparison([read_named(text) for text in arguments.results])
    except ConfigError as error:
        print(f'compare: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    if arguments.markdown:
        print(as_markdown(grid))
    else:
        Console().print(as_rich(grid))
    return 0


def read_named(text: str) -> Result:
    """The evaluation of `NAME=FOLDER`.

    Raises:
        ConfigError: the text has another form, or the folder no report.
    """
    name, _, folder = text.partition('=')
    if not name or not folder:
        raise ConfigError(f'expected NAME=FOLDER, got {text!r}')
    return read_result(Path(folder), name)


def read_result(folder: Path, name: str = '') -> Result:
    """An evaluation, called as its folder if nothing else is said.

    Raises:
        ConfigError: there is no report, or it is damaged.
    """
    speed = folder / 'speed.json'
    return Result(
        name or folder.name,
        folder,
        load_json(folder / 'report.json'),
        load_json(speed) if speed.exists() else {},
    )


def comparison(results: Sequence[Result]) -> Grid:
    """A row for each evaluation.

    Raises:
        ConfigError: they are not of one benchmark and split.
    """
    asked = {result.asked for result in results}
    if len(asked) != 1:
        raise ConfigError(f'expected evaluations of one benchmark and split, got {", ".join(sorted(asked))}')
    metrics = [name for name in results[0].report['overall'] if name != 'questions'][:SHOWN_METRICS]
    headings = (asked.pop(), *(f'{name}, %' for name in metrics), 'median, ms', '95 % within, ms', 'memory, GiB')
    rows = [
        (result.name, *(percent(result.report['overall'].get(name)) for name in metrics), *_speed(result.speed))
        for result in results
    ]
    paper = ', '.join(f'{name} {seconds} s' for name, seconds in SECONDS.items())
    return Grid(headings, tuple(rows), f'the paper, an instruction: {paper}')


def milliseconds(speed: Mapping[str, Any], which: str) -> str:
    """How long an answer took, the median (`p50`) or another part of the distribution; nothing if not measured."""
    return f'{1000 * speed["seconds"][which]:.0f}' if speed else ''


def _speed(speed: Mapping[str, Any]) -> tuple[str, str, str]:
    memory = f'{speed["peak_memory_gib"]:.2f}' if speed else ''
    return milliseconds(speed, 'p50'), milliseconds(speed, 'p95'), memory


if __name__ == '__main__':
    sys.exit(main())
