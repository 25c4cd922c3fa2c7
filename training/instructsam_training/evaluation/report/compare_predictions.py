"""Whether two evaluations got the same answers, sample for sample: the same masks, scores and texts.

python -m instructsam_training.evaluation.report.compare_predictions evaluation/offline evaluation/node

It lists samples that differ, and ends in a line of JSON. Exit status: 0 when all agree, 1 when a sample differs, 2 when
nothing can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from instructsam_model.errors import ConfigError
from instructsam_training.evaluation.prediction import FILES, Answer, read_answers

AGREE, DIFFER, IMPOSSIBLE = 0, 1, 2
COMPARED = ('masks', 'scores', 'text', 'error')
"""Fields of an answer that do not depend on the machine's load."""
MISSING = 'missing'
SHOWN = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when all agree, 1 when a sample differs, 2 when nothing can be compared."""
    parser = argparse.ArgumentParser(
        prog='python -m instructsam_training.evaluation.report.compare_predictions',
        description=(__doc__ or '').partition('\n')[0],
    )
    parser.add_argument('folder', type=Path, help='an evaluation')
    parser.add_argument('other', type=Path, help='another one of the same questions')
    arguments = parser.parse_args(argv)
    try:
        answers, others = read_folder(arguments.folder), read_folder(arguments.other)
    except (ConfigError, OSError) as error:
        print(f'agreement: error: {" ".join(str(error).split())}', file=sys.stderr)
        return IMPOSSIBLE
    differing = differences(answers, others)
    for name, what in [*differing.items()][:SHOWN]:
        print(f'{name}: {", ".join(what)}')
    if len(differing) > SHOWN:
        print(f'and {len(differing) - SHOWN} more')
    print(json.dumps(summarize(answers, others, differing)))
    return DIFFER if differing else AGREE


def read_folder(folder: Path) -> dict[str, Answer]:
    """The answers of an evaluation.

    Raises:
        ConfigError: there are none, or they cannot be read.
    """
    answers = read_answers(folder)
    if not answers:
        raise ConfigError(f'{folder}: expected the folder of an evaluation, with {FILES}, found no answers')
    return answers


def differences(answers: Mapping[str, Answer], others: Mapping[str, Answer]) -> dict[str, list[str]]:
    """What differs, by sample, `MISSING` where only one of the two was asked; samples that agree are not there."""
    differing = {
        name: [field for field in COMPARED if getattr(answers[name], field) != getattr(others[name], field)]
        if name in answers and name in others
        else [MISSING]
        for name in dict.fromkeys([*answers, *others])
    }
    return {name: what for name, what in differing.items() if what}


def summarize(
    answers: Mapping[str, Answer], others: Mapping[str, Answer], differing: Mapping[str, Sequence[str]]
) -> dict[str, int | float]:
    """How many samples there are and how many differ, and how; of scores, by how much at most."""
    pairs = [(answers[name], others[name]) for name in answers if name in others]
    gaps = [
        abs(score - other)
        for answer, another in pairs
        for score, other in zip(answer.scores, another.scores, strict=False)
    ]
    return {
        'samples': len({*answers, *others}),
        'differ': len(differing),
        **{kind: sum(kind in what for what in differing.values()) for kind in (*COMPARED, MISSING)},
        'largest_score_difference': max(gaps, default=0.0),
    }


if __name__ == '__main__':
    sys.exit(main())
