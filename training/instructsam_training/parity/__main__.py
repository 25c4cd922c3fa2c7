"""python -m instructsam_training.parity FOLDER."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from instructsam_model.errors import CheckpointError
from instructsam_model.runtime.choices import ENGINES
from instructsam_training.parity.forward import compare_forward
from instructsam_training.parity.generate import compare_generate
from instructsam_training.parity.metrics import compare_metrics
from instructsam_training.parity.report import Difference, Report, print_report, sum_up
from instructsam_training.parity.training import compare_training


class Part(NamedTuple):
    """One thing to compare.

    Attributes:
        name: what it is called when it is absent.
        files: what the folder needs to have for it.
        compare: the comparison; no differences mean that the files have nothing for it.
    """

    name: str
    files: tuple[str, ...]
    compare: Callable[[Path], Sequence[Difference]]


GOLDEN_FILES = ('golden.json', 'golden.npz', 'checkpoint')


def parts(engine: str) -> tuple[Part, ...]:
    """What there is to compare, answers being written by that engine."""
    return (
        Part('forward', GOLDEN_FILES, compare_forward),
        Part('generate', GOLDEN_FILES, partial(compare_generate, engine=engine)),
        Part('training', (*GOLDEN_FILES, 'train.json'), compare_training),
        Part('metrics', ('metrics.json',), compare_metrics),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Compare a folder: 0 when all is the same, 1 when something differs, 2 when the folder cannot be used."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_training.parity', description=__doc__)
    parser.add_argument('folder', type=Path, help='laid out like tests/golden')
    parser.add_argument(
        '--engine', default='eager', choices=ENGINES, help='that writes the answers, on the CPU (default: %(default)s)'
    )
    arguments = parser.parse_args(argv)
    try:
        report = compare(arguments.folder, arguments.engine)
    except (OSError, ValueError, CheckpointError) as error:
        print(f'parity: error: {error}', file=sys.stderr)
        return 2
    print_report(report, Console())
    return 0 if report.passed else 1


def compare(folder: Path, engine: str = 'eager') -> Report:
    """Compare every part that the folder has; `engine` writes the answers, see `load_segmenter`.

    Raises:
        OSError: the folder does not exist or has none of the parts, or a file cannot be read.
        ValueError: a file is not laid out as in tests/golden.
        CheckpointError: the checkpoint cannot be loaded.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder laid out like tests/golden, found none')
    differences: list[Difference] = []
    absent: list[str] = []
    for part in parts(engine):
        found = part.compare(folder) if all((folder / file).exists() for file in part.files) else ()
        differences += found
        if not found:
            absent.append(part.name)
    if not differences:
        files = sorted({file for part in parts(engine) for file in part.files})
        raise FileNotFoundError(f'{folder}: expected at least one of {", ".join(files)}, found none to compare')
    return Report(folder, sum_up(differences), tuple(absent))


if __name__ == '__main__':
    sys.exit(main())
