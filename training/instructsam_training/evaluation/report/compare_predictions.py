"""Compares the predictions of two evaluations query by query: masks, scores and texts.

python -m instructsam_training.evaluation.report.compare_predictions evaluation/offline evaluation/node

Lists the queries that differ and ends with one line of JSON. Exit status: 0 if all predictions are equal, 1 if some
differ, 2 on an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from instructsam_model.command_line import ArgumentParser
from instructsam_model.errors import ConfigError
from instructsam_training.evaluation.prediction import FILE_PATTERN, PredictedMasks, load_predictions

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_FAILURE = 0, 1, 2
COMPARED_FIELDS = ('masks', 'scores', 'text', 'error')
"""Fields of a prediction that do not depend on the load of the machine."""
MISSING = 'missing'
MAX_LISTED = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = ArgumentParser(
        prog='python -m instructsam_training.evaluation.report.compare_predictions',
        description=(__doc__ or '').partition('\n')[0],
    )
    parser.add_argument('folder', type=Path, help='folder of an evaluation')
    parser.add_argument('other', type=Path, help='folder of another evaluation of the same queries')
    arguments = parser.parse_args(argv)
    try:
        predictions, others = load_folder(arguments.folder), load_folder(arguments.other)
    except (ConfigError, OSError) as error:
        print(f'compare_predictions: error: {" ".join(str(error).split())}', file=sys.stderr)
        return EXIT_FAILURE
    # A few examples to read, then one line of JSON to parse.
    different = find_differences(predictions, others)
    for query_id, fields in [*different.items()][:MAX_LISTED]:
        print(f'{query_id}: {", ".join(fields)}')
    if len(different) > MAX_LISTED:
        print(f'and {len(different) - MAX_LISTED} more')
    print(json.dumps(summarize(predictions, others, different)))
    return EXIT_DIFFERENT if different else EXIT_EQUAL


def load_folder(folder: Path) -> dict[str, PredictedMasks]:
    """Load the predictions of an evaluation.

    Raises:
        ConfigError: there are none, or they cannot be read.
    """
    predictions = load_predictions(folder)
    if not predictions:
        raise ConfigError(f'{folder}: expected the folder of an evaluation, with {FILE_PATTERN}, found no predictions')
    return predictions


def find_differences(
    predictions: Mapping[str, PredictedMasks], others: Mapping[str, PredictedMasks]
) -> dict[str, list[str]]:
    """Return the fields that differ, by query; `MISSING` if only one of the evaluations has the query."""
    # In the order of the first evaluation, then the queries that only the other one has.
    different = {
        query_id: [
            field
            for field in COMPARED_FIELDS
            if getattr(predictions[query_id], field) != getattr(others[query_id], field)
        ]
        if query_id in predictions and query_id in others
        else [MISSING]
        for query_id in dict.fromkeys([*predictions, *others])
    }
    return {query_id: fields for query_id, fields in different.items() if fields}


def summarize(
    predictions: Mapping[str, PredictedMasks],
    others: Mapping[str, PredictedMasks],
    different: Mapping[str, Sequence[str]],
) -> dict[str, int | float]:
    """Return the number of queries, how many differ in each field, and the largest difference of a score."""
    pairs = [(predictions[query_id], others[query_id]) for query_id in predictions if query_id in others]
    # Predictions of different lengths differ anyway; the common part shows whether scores drift.
    gaps = [
        abs(score - other_score)
        for prediction, other in pairs
        for score, other_score in zip(prediction.scores, other.scores, strict=False)
    ]
    return {
        'queries': len({*predictions, *others}),
        'different': len(different),
        **{kind: sum(kind in fields for fields in different.values()) for kind in (*COMPARED_FIELDS, MISSING)},
        'largest_score_difference': max(gaps, default=0.0),
    }


if __name__ == '__main__':
    sys.exit(main())
