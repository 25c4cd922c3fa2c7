"""Writes docs/tabletop.md and its pictures from evaluations.

python -m instructsam_training.tabletop.report --shuffled evaluation/tabletop-shuffled \
    --ablation no_phrase=evaluation/no_phrase --out docs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instructsam_model.errors import ConfigError, FrameError
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmark import BENCHMARKS
from instructsam_training.evaluation.metrics import giou
from instructsam_training.evaluation.prediction import read_answers
from instructsam_training.evaluation.query import Question
from instructsam_training.evaluation.report.compare import Result, read_named, read_result
from instructsam_training.evaluation.report.gallery import cases_of
from instructsam_training.evaluation.scoring import judge
from instructsam_training.tabletop.report.ablations import ABLATIONS, Trial, ablation_grid
from instructsam_training.tabletop.report.document import document
from instructsam_training.tabletop.report.sheets import write_sheets

TABLETOP = BENCHMARKS['tabletop']
TOLERANCE = 1e-9


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when the document is written, 2 when it cannot be."""
    arguments = build_parser().parse_args(argv)
    try:
        print(write(arguments))
    except (ConfigError, FrameError, OSError) as error:
        print(f'tabletop_report: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_training.tabletop.report',
        description='Write what an evaluation on the simulated tabletop says, with pictures.',
    )
    parser.add_argument('--data', type=Path, default='data/tabletop-test', metavar='DIR', help='(%(default)s)')
    parser.add_argument('--evaluation', type=Path, default='evaluation/tabletop', metavar='DIR', help='(%(default)s)')
    parser.add_argument('--shuffled', type=Path, metavar='DIR', help='the same with --shuffle-instructions')
    parser.add_argument(
        '--ablation',
        action='append',
        default=[],
        metavar='NAME=DIR',
        help=f'an evaluation of one of {", ".join(ABLATIONS)}; or of the full model that they are compared with, '
        'called full, if it is not that of --evaluation',
    )
    parser.add_argument('--machine', default='', metavar='TEXT', help='where latencies were measured')
    parser.add_argument('--seed', type=int, default=0, help='chooses the pictures')
    parser.add_argument(
        '--out', type=Path, default='docs', metavar='DIR', help='gets tabletop.md and tabletop/*.jpg (%(default)s)'
    )
    return parser


def write(arguments: argparse.Namespace) -> Path:
    """Write the document and its pictures.

    Raises:
        ConfigError: an evaluation cannot be used, or is not one of the data set.
        FrameError: a picture cannot be read.
        OSError: a file cannot be written.
    """
    questions = TABLETOP.questions(arguments.data, TABLETOP.splits[0], SkipReport())
    trial = judged_again(read_result(arguments.evaluation), questions)
    trials = [judged_again(read_named(text), questions) for text in arguments.ablation]
    full = next((each for each in trials if each.result.name == 'full'), trial)
    others = [each for each in trials if each is not full]
    ablations = ablation_grid(full, others) if others else None
    cases = cases_of(trial.judged, read_answers(arguments.evaluation), _min_score(trial.result))
    sheets = write_sheets(cases, arguments.out / 'tabletop', arguments.seed)
    text = document(
        trial.result,
        read_result(arguments.shuffled) if arguments.shuffled else None,
        {kind: sheet.relative_to(arguments.out) for kind, sheet in sheets.items()},
        ablations,
        arguments.machine,
    )
    file: Path = arguments.out / 'tabletop.md'
    file.write_text(text, encoding='utf-8')
    return file


def judged_again(result: Result, questions: Sequence[Question]) -> Trial:
    """The questions of an evaluation, one by one.

    Raises:
        ConfigError: the evaluation is of another data set, or its answers are damaged.
    """
    answers = read_answers(result.folder)
    pairs = [(question, answers[question.id]) for question in questions if question.id in answers]
    pairs = [(question, answer) for question, answer in pairs if not answer.error]
    try:
        judged = judge(pairs, _min_score(result), TABLETOP.rule_of(result.report['setting']['protocol']))
    except ValueError as error:
        raise ConfigError(f'{result.folder}: expected an evaluation of this data set: {error}') from None
    found, reported = giou(judged, np.ones(len(pairs))), result.report['overall'].get('gIoU')
    if not pairs or reported is None or abs(found - reported) > TOLERANCE:
        raise ConfigError(
            f'{result.folder}: expected a gIoU of {reported} as in its report, got {found} on this data set'
        )
    return Trial(result, judged)


def _min_score(result: Result) -> float:
    return float(result.report['setting']['min_score'])


if __name__ == '__main__':
    sys.exit(main())
