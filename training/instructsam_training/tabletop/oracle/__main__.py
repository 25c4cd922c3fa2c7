"""Compares SAM3-Agent, with an oracle for its vision-language model, with InstructSAM and SAM3 on the tabletop.

python -m instructsam_training.tabletop.oracle --data data/tabletop-test --limit 200 --error-rates 0 10 30
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from instructsam_model.backend_arguments import add_option_arguments, given_options
from instructsam_model.backends import get_backend
from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import CheckpointError, ConfigError, FrameError, InferenceError
from instructsam_model.number_arguments import MAX_SEED, integer, number
from instructsam_model.runtime.threads import MAX_THREADS, prepare_threads
from instructsam_model.weights.embedded import EMBEDDED
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.report.files import write_json, write_text
from instructsam_training.evaluation.report.grid import as_markdown, as_rich
from instructsam_training.tabletop.oracle.document import make_document
from instructsam_training.tabletop.oracle.questions import read_questions
from instructsam_training.tabletop.oracle.table import make_grid, read_row

COMMAND = 'python -m instructsam_training.tabletop.oracle'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if the table is written, 2 on an error, 130 on Ctrl-C."""
    prepare_threads()
    arguments = build_parser().parse_args(argv)
    try:
        run(arguments)
    except (CheckpointError, ConfigError, FrameError, InferenceError, OSError) as error:
        print(f'{COMMAND}: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog=COMMAND,
        description='Evaluate SAM3-Agent on the simulated tabletop with an oracle in place of its vision-language '
        'model, which errs at a set rate, beside a model that answers in one pass and SAM3 alone. The same command '
        'goes on where it stopped.',
        epilog='Writes table.json, table.md and one evaluation for each row, with the transcripts of all runs of the '
        'agent. The last line of the output is JSON.',
    )
    parser.add_argument(
        '--data', type=Path, default='data/tabletop-test', metavar='DIR', help='data set (default: %(default)s)'
    )
    parser.add_argument(
        '--limit', type=integer(1), default=200, metavar='N', help='number of questions (default: %(default)s)'
    )
    parser.add_argument(
        '--error-rates',
        type=number(0.0, 100.0),
        nargs='+',
        default=[0.0, 10.0, 30.0],
        metavar='PERCENT',
        help='shares of the replies of the oracle that have a mistake (default: 0 10 30)',
    )
    parser.add_argument(
        '--seed', type=integer(0, MAX_SEED), default=0, metavar='N', help='of the mistakes (default: %(default)s)'
    )
    parser.add_argument(
        '--checkpoint', default=EMBEDDED, help='that answers the questions in one pass (default: %(default)s)'
    )
    parser.add_argument(
        '--sam3',
        default=EMBEDDED,
        metavar='CHECKPOINT',
        help='that finds phrases for the agent: one of SAM3, or one of InstructSAM, which is asked for "the PHRASE" '
        '(default: %(default)s)',
    )
    parser.add_argument('--strict', action='store_true', help='also run the agent as the public code behaves')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, ... (default: %(default)s)')
    parser.add_argument(
        '--threads', type=integer(0, MAX_THREADS), default=0, metavar='N', help='CPU threads (default: all idle ones)'
    )
    add_option_arguments(parser, get_backend('sam3'))
    parser.add_argument(
        '--out',
        type=Path,
        default='evaluation/tabletop-agent',
        metavar='DIR',
        help='output folder (default: %(default)s)',
    )
    parser.add_argument('--document', type=Path, metavar='FILE', help='also write the table as a page, in Markdown')
    parser.add_argument('--machine', default='', metavar='TEXT', help='computer on which the times were measured')
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Evaluate all rows, and print and write the table.

    Raises:
        CheckpointError, ConfigError, FrameError, OSError: see `main`.
    """
    # Imported here, because loading imports torch, which errors in the arguments do not need.
    from instructsam_training.tabletop.oracle.rows import SAM3, evaluate_row, load, make_rows

    start = time.perf_counter()
    benchmark = BENCHMARKS['tabletop']
    queries = benchmark.load_queries(arguments.data, benchmark.splits[0], SkipReport())[: arguments.limit]
    questions = read_questions(arguments.data, queries)
    # One checkpoint for both is loaded once.
    options = given_options(arguments)
    model = phrases = load(arguments.checkpoint, arguments.device, arguments.threads, options)
    if arguments.sam3 != arguments.checkpoint:
        phrases = load(arguments.sam3, arguments.device, arguments.threads, options)
    if options and SAM3 not in (model.backend, phrases.backend):
        raise ConfigError(f'--{next(iter(options))}: expected a checkpoint of SAM3 for it, got {arguments.sam3}')
    rates = [rate / 100 for rate in dict.fromkeys(arguments.error_rates)]
    rows = []
    for row in make_rows(model, phrases, questions, rates, arguments.seed, strict=arguments.strict):
        result = evaluate_row(row, arguments.data, arguments.out, {'limit': arguments.limit})
        rows.append(read_row(row.title, result.report, result.speed))
    seconds = time.perf_counter() - start
    grid = make_grid(rows, len(queries), phrases.backend, seconds)
    settings = {name: getattr(arguments, name) for name in ('checkpoint', 'sam3', 'seed')}
    table = {'rows': rows, 'phrases': phrases.backend, **settings}
    write_json(arguments.out / 'table.json', table)
    write_text(arguments.out / 'table.md', as_markdown(grid) + '\n')
    if arguments.document is not None:
        write_text(arguments.document, make_document(rows, grid, arguments.machine, _command(arguments)))
    Console().print(as_rich(grid))
    print(json.dumps({'questions': len(queries), 'seconds': round(seconds, 1), 'rows': rows}))


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that repeats a run, with the arguments that decide about its numbers."""
    rates = ' '.join(f'{rate:g}' for rate in arguments.error_rates)
    words = [
        COMMAND,
        f'--data {arguments.data} --limit {arguments.limit} --error-rates {rates} --seed {arguments.seed}',
    ]
    words += [f'--checkpoint {arguments.checkpoint} --sam3 {arguments.sam3}', *(['--strict'] * arguments.strict)]
    words += [f'--{name} {value if value != "" else repr(value)}' for name, value in given_options(arguments).items()]
    return ' '.join(words)


if __name__ == '__main__':
    sys.exit(main())
