"""Scores the predictions of an evaluation with the public protocols, and writes them as prediction records."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instructsam_training.data.sample import LevelName
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query
from instructsam_training.evaluation.report.report import EvaluationSettings
from instructsam_training.evaluation.sam3i.public_numbers import (
    RECORDS_FILE,
    PublicEvaluation,
    load_records,
    make_records,
    public_numbers,
)
from instructsam_training.evaluation.sam3i.records import is_record_file, write_records


def score_as_public(
    public: PublicEvaluation,
    arguments: argparse.Namespace,
    settings: EvaluationSettings,
    queries: Sequence[Query],
    predictions: Mapping[str, PredictedMasks],
    folder: Path,
) -> dict[str, Any]:
    """Return the numbers of the public scripts, and write prediction records that they can read.

    Raises:
        ConfigError: a file cannot be used.
    """
    file = public.find_file(arguments.data)
    if arguments.predictions is not None and is_record_file(arguments.predictions):
        # As the scripts read it: several records of an annotation, and unknown ones, have their own rules.
        records = load_records(arguments.predictions, keep_best=settings.keep_best)
    else:
        level: LevelName = settings.split  # type: ignore[assignment]  # splits of these benchmarks are levels
        records = make_records(file, level, predictions, settings.min_score)
        records = [record.keep_best() for record in records] if settings.keep_best else records
        write_records(records, folder / RECORDS_FILE)
    only = [query.id for query in queries] if arguments.limit else None
    return public_numbers(public, file, records, only)
