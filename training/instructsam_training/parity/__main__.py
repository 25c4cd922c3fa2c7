"""The command `python -m instructsam_training.parity FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.runtime.choices import ENGINES
from instructsam_training.parity.comparison import Comparison
from instructsam_training.parity.forward import compare_forward
from instructsam_training.parity.generate import compare_generate
from instructsam_training.parity.metrics import compare_metrics
from instructsam_training.parity.report import Difference, NotCompared, ParityReport, largest_by_name, print_report
from instructsam_training.parity.sam3i.comparisons import sam3i_comparisons
from instructsam_training.parity.training import compare_training

GOLDEN_FILES = ('golden.json', 'golden.npz', 'checkpoint')
INSTRUCTSAM_FILES = ('golden.json', 'golden.npz', 'checkpoint', 'train.json', 'metrics.json')
SAM3I_FILES = ('inputs.json', 'weights.safetensors', 'loss_cases.json', 'data_path.json', 'metrics/expected.json')
"""A folder with one of these files is a set of the model."""


def instructsam_comparisons(engine: str) -> tuple[Comparison, ...]:
    """Return the comparisons of a set of InstructSAM; `engine` generates the text."""
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
    parser.add_argument('folder', type=Path, help='a set of golden data of InstructSAM or of SAM3-I; it is recognized')
    parser.add_argument(
        '--engine', default='eager', choices=ENGINES, help='generates the text, on the CPU (default: %(default)s)'
    )
    parser.add_argument(
        '--tokenizer',
        type=Path,
        metavar='PATH',
        help="for SAM3-I: folder of CLIP's tokenizer, or its file of merges (default: that of an installed package)",
    )
    arguments = parser.parse_args(argv)
    try:
        report = compare(arguments.folder, arguments.engine, arguments.tokenizer)
    except (OSError, ValueError, FloatingPointError, CheckpointError, ConfigError) as error:
        print(f'parity: error: {error}', file=sys.stderr)
        return 2
    # Not wider than a terminal, but as wide as its cells if it goes to a file.
    print_report(report, Console(width=None if sys.stdout.isatty() else 100))
    return 0 if report.passed else 1


def compare(folder: Path, engine: str = 'eager', tokenizer: Path | None = None) -> ParityReport:
    """Compare every part that the folder has.

    Args:
        folder: a set of InstructSAM, in the layout of tests/golden, or of SAM3-I.
        engine: generates the text, see `InstructSAMOptions`.
        tokenizer: folder or file with CLIP's vocabulary.

    Raises:
        OSError: the folder does not exist or has none of the parts, or a file cannot be read.
        ValueError: a file does not have the layout of its kind.
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: an annotation file cannot be used.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: expected a folder of golden data, found none')
    comparisons: list[Comparison] = []
    if any((folder / file).exists() for file in INSTRUCTSAM_FILES):
        comparisons += instructsam_comparisons(engine)
    if any((folder / file).exists() for file in SAM3I_FILES):
        comparisons += sam3i_comparisons(folder, tokenizer)
    results: list[Difference | NotCompared] = []
    absent: list[str] = []
    # A part is absent if its files are missing, or if they have nothing to compare.
    for comparison in comparisons:
        missing = comparison.missing(folder)
        found = () if missing else comparison.compare(folder)
        results += found
        if not found:
            absent.append(f'{comparison.name} ({", ".join(missing)})' if missing else comparison.name)
        elif missing := comparison.missing_optional(folder):
            absent.append(f'{comparison.name}, in part ({", ".join(missing)})')
    differences = [result for result in results if isinstance(result, Difference)]
    if not differences:
        files = ', '.join([*INSTRUCTSAM_FILES, *SAM3I_FILES])
        raise FileNotFoundError(f'{folder}: expected at least one of {files}, found nothing to compare')
    not_compared = dict.fromkeys(result.what for result in results if isinstance(result, NotCompared))
    return ParityReport(folder, largest_by_name(differences), tuple(absent), tuple(not_compared))


if __name__ == '__main__':
    sys.exit(main())
