"""Writes docs/tabletop.md and its images from evaluations.

python -m instructsam_training.tabletop.report --shuffled evaluation/tabletop-shuffled --out docs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError, FrameError
from instructsam_model.number_arguments import MAX_SEED, integer
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.metrics import giou
from instructsam_training.evaluation.prediction import load_predictions
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.compare import EvaluationResult, load_result
from instructsam_training.evaluation.report.gallery import make_examples
from instructsam_training.evaluation.scoring import ScoredPredictions, score
from instructsam_training.tabletop.report.document import make_document
from instructsam_training.tabletop.report.sheets import write_sheets

TABLETOP = BENCHMARKS['tabletop']
GIOU_TOLERANCE = 1e-9
"""The same code computes both numbers, on machines that may add in another order."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 if the document is written and 2 on an error."""
    arguments = build_parser().parse_args(argv)
    try:
        print(write_document(arguments))
    except (ConfigError, FrameError, OSError) as error:
        print(f'tabletop_report: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.tabletop.report',
        description='Write the results of evaluations on the simulated tabletop as a document with images.',
    )
    parser.add_argument(
        '--data', type=Path, default='data/tabletop-test', metavar='DIR', help='data set (default: %(default)s)'
    )
    parser.add_argument(
        '--evaluation',
        type=Path,
        default='evaluation/tabletop',
        metavar='DIR',
        help='folder of the evaluation (default: %(default)s)',
    )
    parser.add_argument('--shuffled', type=Path, metavar='DIR', help='an evaluation with --shuffle-instructions')
    parser.add_argument('--machine', default='', metavar='TEXT', help='machine on which the latency was measured')
    parser.add_argument(
        '--seed',
        type=integer(0, MAX_SEED),
        default=0,
        help='seed of the random choice of images (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default='docs',
        metavar='DIR',
        help='folder of tabletop.md and tabletop/*.jpg (default: %(default)s)',
    )
    return parser


def write_document(arguments: argparse.Namespace) -> Path:
    """Write the document and its images.

    Raises:
        ConfigError: an evaluation cannot be used, or is of another data set.
        FrameError: an image cannot be read.
        OSError: a file cannot be written.
    """
    # The evaluation is checked against the queries before anything is written.
    queries = TABLETOP.load_queries(arguments.data, TABLETOP.splits[0], SkipReport())
    result = load_result(arguments.evaluation)
    examples = make_examples(score_again(result, queries), load_predictions(arguments.evaluation), _min_score(result))
    # Images first: the document has links to them.
    sheets = write_sheets(examples, arguments.out / 'tabletop', arguments.seed)
    text = make_document(
        result,
        load_result(arguments.shuffled) if arguments.shuffled else None,
        {kind: sheet.relative_to(arguments.out) for kind, sheet in sheets.items()},
        arguments.machine,
    )
    file: Path = arguments.out / 'tabletop.md'
    file.write_text(text, encoding='utf-8')
    return file


def score_again(result: EvaluationResult, queries: Sequence[Query]) -> ScoredPredictions:
    """Score the predictions of an evaluation, and check that its report has the same gIoU.

    Raises:
        ConfigError: the evaluation is of another data set, or its predictions are damaged.
    """
    predictions = load_predictions(result.folder)
    pairs = [(query, predictions[query.id]) for query in queries if query.id in predictions]
    pairs = [(query, prediction) for query, prediction in pairs if not prediction.error]
    try:
        scored = score(pairs, _min_score(result), TABLETOP.iou_rule(result.report['settings']['scoring']))
    except ValueError as error:
        raise ConfigError(f'{result.folder}: expected an evaluation of this data set: {error}') from None
    # A different gIoU means that the data set was generated again with other settings.
    found, reported = giou(scored, scored.ones), result.report['overall'].get('gIoU')
    if not pairs or reported is None or abs(found - reported) > GIOU_TOLERANCE:
        raise ConfigError(
            f'{result.folder}: expected a gIoU of {reported} as in its report, got {found} on this data set'
        )
    return scored


def _min_score(result: EvaluationResult) -> float:
    return float(result.report['settings']['min_score'])


if __name__ == '__main__':
    sys.exit(main())
