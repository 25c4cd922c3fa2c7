"""The command `python -m instructsam_training.parity FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError
from instructsam_model.runtime.choices import ENGINES
from instructsam_training.parity.forward import compare_forward
from instructsam_training.parity.generate import compare_generate
from instructsam_training.parity.metrics import compare_metrics
from instructsam_training.parity.report import Difference, ParityReport, largest_by_name, print_report
from instructsam_training.parity.training import compare_training


class Comparison(NamedTuple):
    """One part of the folder to compare.

    Attributes:
        name: printed if the folder does not have the part.
        files: files that it needs.
        compare: returns the differences; none if the files have nothing to compare.
    """

    name: str
    files: tuple[str, ...]
    compare: Callable[[Path], Sequence[Difference]]


GOLDEN_FILES = ('golden.json', 'golden.npz', 'checkpoint')


def all_comparisons(engine: str) -> tuple[Comparison, ...]:
    """Return every comparison; `engine` generates the text."""
    return (
        Comparison('forward', GOLDEN_FILES, compare_forward),
        Comparison('generate', GOLDEN_FILES, partial(compare_generate, engine=engine)),
        Comparison('training', (*GOLDEN_FILES, 'train.json'), compare_training),
        Comparison('metrics', ('metrics.json',), compare_metrics),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if nothing differs, 1 if something does, 2 if the folder cannot be used."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.parity', description='Compare with the public implementation.'
    )
    parser.add_argument('folder', type=Path, help='a folder with the layout of tests/golden')
    parser.add_argument(
        '--engine', default='eager', choices=ENGINES, help='generates the text, on the CPU (default: %(default)s)'
    )
    arguments = parser.parse_args(argv)
    try:
        report = compare(arguments.folder, arguments.engine)
    except (OSError, ValueError, CheckpointError) as error:
        print(f'parity: error: {error}', file=sys.stderr)
        return 2
    print_report(report, Console())
    return 0 if report.passed else 1


def compare(folder: Path, engine: str = 'eager') -> ParityReport:
    """Compare every part that the folder has; `engine` generates the text, see `InstructSAMOptions`.

    Raises:
        OSError: the folder does not exist or has none of the parts, or a file cannot be read.
        ValueError: a file does not have the layout of tests/golden.
        CheckpointError: the checkpoint cannot be loaded.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder with the layout of tests/golden, found none')
    comparisons = all_comparisons(engine)
    differences: list[Difference] = []
    absent: list[str] = []
    # A part is absent if its files are missing, or if they have nothing to compare.
    for comparison in comparisons:
        has_files = all((folder / file).exists() for file in comparison.files)
        found = comparison.compare(folder) if has_files else ()
        differences += found
        if not found:
            absent.append(comparison.name)
    if not differences:
        files = sorted({file for comparison in comparisons for file in comparison.files})
        raise FileNotFoundError(f'{folder}: expected at least one of {", ".join(files)}, found nothing to compare')
    return ParityReport(folder, largest_by_name(differences), tuple(absent))


if __name__ == '__main__':
    sys.exit(main())
