"""Reproduces a table of the paper: evaluates its models, and prints them beside the rows of the paper.

python -m instructsam_training.tables 7 --checkpoint embedded --data data/benchmarks --limit 100 --prompt plain
python -m instructsam_training.tables 6 --configs training/configs/tabletop-ablations --train --data data/benchmarks
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError
from instructsam_model.number_arguments import integer
from instructsam_model.runtime.threads import prepare_threads
from instructsam_training.evaluation.arguments import build_parser as build_evaluation_parser
from instructsam_training.evaluation.report.files import write_json, write_text
from instructsam_training.evaluation.report.grid import Grid, as_markdown, as_rich
from instructsam_training.tables.checkpoints import find_checkpoint, parse_checkpoints
from instructsam_training.tables.layout import first_number, make_grid, make_report
from instructsam_training.tables.measure import Measured, difference, measure
from instructsam_training.tables.paper import TABLES
from instructsam_training.tables.table import Table

COMMAND = 'python -m instructsam_training.tables'
FLAGS_OF_THE_TABLE = {
    '--split': ('split', None),
    '--annotations': ('data', Path()),
    '--predictions': ('predictions', None),
    '--write-queries': ('write_queries', None),
}
"""Flags of instructsam-eval that a table sets for each evaluation: their argument, and its value if not given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if all rows were evaluated, 1 if some were not, 2 on an error."""
    prepare_threads()
    arguments, flags = build_parser().parse_known_args(argv)
    table = TABLES[arguments.table]
    try:
        check_flags(table, flags)
        return run(table, arguments, flags)
    except FloatingPointError as error:
        print(f'{COMMAND}: diverged: {error}', file=sys.stderr)
    except (CheckpointError, ConfigError, OSError) as error:
        print(f'{COMMAND}: error: {" ".join(str(error).split())}', file=sys.stderr)
    return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    tables = '; '.join(f'{number}: {table.title}' for number, table in TABLES.items())
    parser = ArgumentParser(
        prog=COMMAND,
        description='Evaluate the models of a table of the paper, and print them beside the rows of the paper.',
        epilog=f'Tables: {tables}. All other flags are those of instructsam-eval, such as --limit, --prompt, --device. '
        'Predictions are kept: the same command goes on where it stopped. Exit status: 0 if all rows were evaluated; 1 '
        'if some were not; 2 on an error.',
    )
    parser.add_argument('table', type=integer(1), choices=TABLES, metavar='NUMBER', help='see below')
    parser.add_argument(
        '--data',
        action='append',
        required=True,
        metavar='DIR',
        help='folder with a folder for each benchmark, named like it; or BENCHMARK=DIR, repeated',
    )
    parser.add_argument('--checkpoint', help='of the whole method: folder, hub id, or embedded')
    parser.add_argument('--row', action='append', default=[], metavar='NAME=CHECKPOINT', help='of another row')
    parser.add_argument('--train', action='store_true', help='train the models that have not been trained')
    parser.add_argument(
        '--configs',
        type=Path,
        default='training/configs/ablations',
        metavar='DIR',
        help='folder of the configurations of the rows (default: %(default)s)',
    )
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='setting of all configurations')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder of table.json, table.md and the evaluations (evaluation/table-N)',
    )
    return parser


def check_flags(table: Table, flags: Sequence[str]) -> None:
    """Check the flags of instructsam-eval before anything runs; unknown ones end the command with its usage.

    Raises:
        ConfigError: a flag would change what the numbers of the table are.
    """
    parser = build_evaluation_parser('instructsam-eval', '')
    # Benchmark and data are placeholders: each evaluation has its own.
    given = vars(parser.parse_args([table.benchmarks[0], '--data=.', *flags]))
    refused = [flag for flag, (name, unset) in FLAGS_OF_THE_TABLE.items() if given[name] != unset]
    # Options that make the difference between rows, such as the ablation; they are absent unless given.
    options = [name for row in table.rows for name in row.options]
    refused += [f'--instructsam.{name}' for name in options if f'instructsam.{name}' in given]
    if refused:
        raise ConfigError(f'{refused[0]}: expected no such flag; table {table.number} sets it for each evaluation')


def run(table: Table, arguments: argparse.Namespace, flags: Sequence[str]) -> int:
    """Evaluate the rows of a table, print it and write it.

    Returns:
        The exit status.

    Raises:
        CheckpointError, ConfigError: data, checkpoint or configuration cannot be used.
        OSError: a file cannot be written.
    """
    # 1. What there is: data of each benchmark, and checkpoints.
    data = parse_data(arguments.data, table)
    given = parse_checkpoints(arguments.row, arguments.checkpoint, table)
    out = arguments.out or Path('evaluation', f'table-{table.number}')
    # 2. Train and evaluate the rows one after the other; those without a checkpoint are named at the end.
    measured: dict[str, Measured] = {}
    missing: dict[str, str] = {}
    for row in table.rows:
        found, advice = find_checkpoint(row, given, arguments.configs, arguments.set, train=arguments.train)
        if found:
            measured[row.name] = measure(table, row, found, data, out / row.name, flags)
        else:
            missing[row.name] = advice
    # Without the whole method, the other rows have nothing to be compared with.
    if table.rows[0].name not in measured:
        raise ConfigError(f'{table.rows[0].title}: not evaluated; {missing[table.rows[0].name]}')
    # 3. Write the table, with what could not be evaluated.
    gains = measure_gains(table, measured, data)
    no_data = [name for name in table.benchmarks if name not in data]
    write_json(out / 'table.json', make_report(table, measured, gains, missing, no_data))
    print_table(table, make_grid(table, measured, gains), out)
    for name, advice in missing.items():
        print(f'not evaluated: {name}; {advice}', file=sys.stderr)
    for name in no_data:
        print(f'not evaluated: {name}; give its data with --data {name}=DIR', file=sys.stderr)
    return int(bool(missing or no_data))


def parse_data(texts: Sequence[str], table: Table) -> dict[str, Path]:
    """Return the folder of each benchmark of a table that there are data for.

    Args:
        texts: `BENCHMARK=DIR`, or a folder with folders of these names.
        table: whose benchmarks may be named.

    Raises:
        ConfigError: a benchmark is not in the table, a folder is missing, or there are no data at all.
    """
    found: dict[str, Path] = {}
    for text in texts:
        # A folder may have an equals sign in its name only after BENCHMARK=.
        name, equals, folder = text.partition('=')
        if equals and name not in table.benchmarks:
            raise ConfigError(f'--data: expected one of {", ".join(table.benchmarks)}, got {name!r}')
        root = Path(folder if equals else text).expanduser()
        if not root.exists():
            raise ConfigError(f'--data: {root}: no such folder')
        if equals:
            found[name] = root
        else:
            # Benchmarks without a folder are left out, and named after the table.
            found |= {each: root / each for each in table.benchmarks if (root / each).is_dir()}
    if not found:
        names = ', '.join(table.benchmarks)
        raise ConfigError(f'--data: expected {names} as folders of {", ".join(texts)}, or BENCHMARK=DIR; found none')
    return found


def measure_gains(
    table: Table, measured: Mapping[str, Measured], data: Mapping[str, Path]
) -> dict[str, tuple[float, float]]:
    """Return the interval of the gain of the first row over each other one, in the first column."""
    first, number = table.rows[0].name, first_number(table)
    # A table of methods has one row here, and numbers of the others only.
    if table.compares_methods or number.benchmark not in data:
        return {}
    gains = {
        name: difference(measured[first], each, number, data[number.benchmark])
        for name, each in measured.items()
        if name != first
    }
    # Without an interval: a query failed in one of the two.
    return {name: gain for name, gain in gains.items() if gain is not None}


def print_table(table: Table, grid: Grid, out: Path) -> None:
    """Print a table, and write it as Markdown."""
    title = f'Table {table.number}: {table.title}'
    write_text(out / 'table.md', f'# {title}\n\n{as_markdown(grid)}\n')
    # Not wider than a terminal, but as wide as its cells if it goes to a file.
    Console(width=None if sys.stdout.isatty() else 140).print(title, as_rich(grid))
    print(f'{out / "table.md"}, {out / "table.json"}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
