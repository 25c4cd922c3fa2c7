"""The options of an evaluation, whoever answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from instructsam_model.backend_arguments import add_backend_arguments, add_checkpoint_argument
from instructsam_training.evaluation.benchmarks.benchmark import BENCHMARKS


def build_parser(command: str, description: str) -> argparse.ArgumentParser:
    """The command line.

    Args:
        command: as it is called.
        description: what it does.
    """
    parser = argparse.ArgumentParser(
        prog=command,
        description=f'{description} What a killed run has answered is in its folder, and the same command goes on '
        'from there.',
        epilog='benchmarks and their splits: '
        + '; '.join(f'{name} ({", ".join(benchmark.splits)})' for name, benchmark in BENCHMARKS.items())
        + '. Exit status: 0 when everything was scored; 1 when something was skipped, which is counted and listed in '
        'report.json; 2 when there is no report.',
    )
    parser.set_defaults(command=command)
    parser.add_argument('benchmark', choices=sorted(BENCHMARKS), metavar='BENCHMARK', help='see below')
    _add_data_arguments(parser.add_argument_group('data'))
    _add_answer_arguments(parser.add_argument_group('answers'))
    add_backend_arguments(parser, checkpoint=False)
    return parser


def _add_data_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--data', type=Path, required=True, metavar='DIR', help='folder of the data set')
    group.add_argument('--split', help='part of the data set (default: the first below)')
    group.add_argument('--images', type=Path, metavar='DIR', help='folder of the pictures, if they lie elsewhere')
    group.add_argument('--limit', type=int, metavar='N', help='only the first N questions')
    group.add_argument(
        '--out', type=Path, metavar='DIR', help='for answers and report (default: evaluation/BENCHMARK-SPLIT)'
    )


def _add_answer_arguments(group: argparse._ArgumentGroup) -> None:
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        '--predictions',
        type=Path,
        metavar='FILE',
        help="score this: COCO results, GSEval's JSON lines, results of the public scripts, or an answers file",
    )
    who.add_argument('--questions', type=Path, metavar='FILE', help='only write what there is to predict')
    add_checkpoint_argument(who)
    group.add_argument(
        '--protocol',
        default='trained',
        choices=('trained', 'released'),
        help='inference as in training and metrics by their authors, or both as the public code has them '
        '(default: %(default)s)',
    )
    group.add_argument(
        '--prompt',
        default='published',
        choices=('published', 'plain'),
        help='words of the public evaluation, or those of this training (default: %(default)s; tabletop has but these)',
    )
    group.add_argument('--min-score', type=float, help="leave out what scores lower or equal (default: benchmark's)")
    group.add_argument(
        '--shuffle-instructions', type=int, metavar='SEED', help='put the instruction of another question to each'
    )
    group.add_argument('--fresh', action='store_true', help='forget the answers that are in the folder')
