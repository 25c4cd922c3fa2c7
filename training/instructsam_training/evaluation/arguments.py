"""Command line of an evaluation; `instructsam-eval` and the evaluation of a ROS node share it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from instructsam_model.backend_arguments import add_backend_arguments, add_checkpoint_argument, given_options
from instructsam_model.backends import AUTO, backend_names, get_backend
from instructsam_model.command_line import ArgumentParser, RaisingParser
from instructsam_model.errors import ConfigError
from instructsam_model.number_arguments import MAX_SEED, integer, number
from instructsam_model.options import check_names
from instructsam_training.evaluation.benchmark import SCORINGS
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.checks import MAX_SKIPPED

PROMPTS = ('published', 'plain', 'unchanged')


def make_arguments(benchmark: str, data: str | Path, settings: Mapping[str, Any]) -> argparse.Namespace:
    """Return the arguments of an evaluation from Python values; they are checked as those of the command line.

    Args:
        benchmark: name of the benchmark.
        data: folder of the data set, or its file.
        settings: other arguments, such as `min_score=0.5`, and options of back ends, such as `instructsam.engine`;
            None for the default.

    Raises:
        ConfigError: an argument is unknown or out of range.
    """
    parser = build_parser('evaluate', 'Evaluate.', RaisingParser)
    check_names([benchmark], [*BENCHMARKS], 'benchmark')
    known = vars(parser.parse_args([benchmark, '--data=.'])).keys() - {'benchmark', 'data', 'command'}
    options = {f'{name}.{each.name}' for name in backend_names() for each in fields(get_backend(name).options)}
    check_names(settings, known - {'write_queries'} | options, 'argument of evaluate')
    words = []
    for name, value in settings.items():
        flag = f'--{name if "." in name else name.replace("_", "-")}'
        if isinstance(value, bool) and '.' not in name:
            words += [flag] * value
        elif value is not None:
            words.append(f'{flag}={value}')
    return parser.parse_args([benchmark, f'--data={data}', *words])


def build_parser(
    command: str, description: str, kind: type[ArgumentParser] = ArgumentParser
) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        command: name of the command in messages.
        description: first sentence of the help.
        kind: class of the parser.
    """
    splits = '; '.join(f'{name} ({", ".join(benchmark.splits)})' for name, benchmark in BENCHMARKS.items())
    parser = kind(
        prog=command,
        description=f'{description} Predictions are written to the output folder one by one; the same command resumes '
        'an interrupted run.',
        epilog=f'Benchmarks and their splits: {splits}. Exit status: 0 if everything was scored; 1 if something was '
        'skipped, which report.json lists; 2 on an error.',
    )
    parser.set_defaults(command=command)
    parser.add_argument('benchmark', choices=sorted(BENCHMARKS), metavar='BENCHMARK', help='see below')
    _add_data_arguments(parser.add_argument_group('data'))
    _add_prediction_arguments(parser.add_argument_group('predictions'))
    _add_scoring_arguments(parser.add_argument_group('scoring'))
    add_backend_arguments(parser, checkpoint=False)
    return parser


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse options that would do nothing, or drop everything.

    Raises:
        ConfigError: there is one.
    """
    # Scores of other models may have any range; those of ours are shares.
    is_ours, min_score = arguments.predictions is None, arguments.min_score
    if is_ours and min_score is not None and not 0 <= min_score < 1:
        raise ConfigError(f'--min-score: expected 0 to below 1, got {min_score:g}')
    source = next((name for name in ('predictions', 'replay') if getattr(arguments, name) is not None), None)
    if source is None:
        return
    given = [*given_options(arguments)]
    given += [name for name in ('backend', 'dtype') if getattr(arguments, name) != AUTO]
    if given:
        raise ConfigError(f'--{source}: expected no options of a model beside it, got --{", --".join(given)}')


def _add_data_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--data',
        '--annotations',
        type=Path,
        required=True,
        metavar='PATH',
        help='folder of the data set, or its file; for coco, a COCO file or a training file in the published format',
    )
    group.add_argument('--split', help='split of the data set (default: the first one below)')
    group.add_argument('--images', type=Path, metavar='DIR', help='folder of the images, if it is not part of --data')
    group.add_argument('--limit', type=integer(1), metavar='N', help='use only the first N queries')
    group.add_argument(
        '--max-skipped',
        type=number(0.0, 1.0),
        default=MAX_SKIPPED,
        metavar='SHARE',
        help='largest share of queries, 0 to 1, that may be skipped, as because of a missing image; more is an error '
        '(default: %(default)s)',
    )
    group.add_argument(
        '--absent',
        type=integer(0),
        default=0,
        metavar='N',
        help='for coco: ask about N categories that an image does not have, as queries without a target; right only if '
        'all categories were annotated in all images (default: %(default)s)',
    )
    group.add_argument('--out', type=Path, metavar='DIR', help='output folder (default: evaluation/BENCHMARK-SPLIT)')


def _add_prediction_arguments(group: argparse._ArgumentGroup) -> None:
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        '--predictions',
        type=Path,
        metavar='FILE',
        help="score predictions from a file: COCO results, GSEval's JSON lines, results of the public scripts of "
        'InstructSAM or SAM3-I, or predictions-*.jsonl of an earlier evaluation',
    )
    source.add_argument(
        '--replay',
        type=Path,
        metavar='DIR',
        help='output folder of an earlier evaluation of an agent: repeat its runs from their transcripts, without the '
        'model',
    )
    source.add_argument('--write-queries', type=Path, metavar='FILE', help='only write the queries, as JSON lines')
    add_checkpoint_argument(source)
    group.add_argument(
        '--prompt',
        default=PROMPTS[0],
        choices=PROMPTS,
        help='published: wording of the public evaluation; plain: wording of the training, also that of tabletop; '
        'unchanged: the text of the query, for back ends that take phrases (default: %(default)s)',
    )
    group.add_argument(
        '--shuffle-instructions',
        type=integer(0, MAX_SEED),
        metavar='SEED',
        help='give each query the instruction of another one, as a control',
    )
    group.add_argument(
        '--process-timeout',
        type=number(0.1, 1440.0),
        default=30.0,
        metavar='MINUTES',
        help='with several processes: time that one of them may take for an image, or to load the model, before the '
        'others stop waiting for it (default: %(default)g)',
    )
    group.add_argument('--fresh', action='store_true', help='delete the predictions in the output folder first')


def _add_scoring_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--scoring',
        default=SCORINGS[0],
        choices=SCORINGS,
        help="authors: metrics as defined by the benchmark's authors; released: as computed by the released evaluation "
        'code (default: %(default)s)',
    )
    group.add_argument(
        '--keep-best',
        action='store_true',
        help='only the best mask of each query counts, as in the public evaluation of SAM3-I on RefCOCO',
    )
    group.add_argument(
        '--min-score',
        type=number(-1e9, 1e9),  # predictions of other models may have any scores
        metavar='SCORE',
        help="drop predictions with this score or a lower one (default: the benchmark's)",
    )
