"""Evaluation of a model in memory on a fixed set of queries, as during training.

It differs from `instructsam-eval` in what it writes: metrics and a sheet of images instead of predictions and a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import ConfigError
from instructsam_model.files import write_atomically
from instructsam_model.options import check_names
from instructsam_training.config.validation_options import ValidationConfig
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.checks import check_images, check_skipped, check_targets, check_unread
from instructsam_training.evaluation.inference import predict, read_frame
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query, group_by_image, with_prompt
from instructsam_training.evaluation.report.gallery import make_examples
from instructsam_training.evaluation.report.report import EvaluationSettings, measure
from instructsam_training.evaluation.report.sheet import COLUMNS, draw_sheet
from instructsam_training.evaluation.scoring import ScoredPredictions


@dataclass(frozen=True)
class ValidationSet:
    """The queries of a validation and how they are scored.

    Attributes:
        options: of the validation.
        benchmark: gives the metrics.
        settings: of the evaluation.
        queries: with the texts that the model gets.
    """

    options: ValidationConfig
    benchmark: Benchmark
    settings: EvaluationSettings
    queries: tuple[Query, ...]

    @cached_property
    def images(self) -> list[list[Query]]:
        """The queries of each image."""
        return group_by_image(self.queries)

    @property
    def metric(self) -> str:
        """Name of the metric by which weights are compared."""
        return self.options.metric or self.benchmark.metrics[0]

    def measure(self, predictions: Sequence[PredictedMasks]) -> tuple[dict[str, float], ScoredPredictions]:
        """Compute the metrics, 0..1; undefined ones are left out.

        Raises:
            ConfigError: too many queries failed, or the metric by which weights are compared is undefined.
        """
        by_query = {prediction.id: prediction for prediction in predictions}
        check_skipped(self.queries, by_query, (), self.options.max_skipped)
        row, scored = measure(self.benchmark, self.settings, self.queries, by_query)
        metrics = {name: float(value) for name, value in row.items() if value is not None and name != 'queries'}
        if self.metric not in metrics:
            raise ConfigError(f'validation.metric: expected one of {", ".join(metrics)}, got {self.metric!r}')
        return metrics, scored

    def write_sheet(self, file: Path, scored: ScoredPredictions, predictions: Sequence[PredictedMasks]) -> None:
        """Draw some queries, the same ones each time, with targets and predictions."""
        by_query: Mapping[str, PredictedMasks] = {prediction.id: prediction for prediction in predictions}
        examples = make_examples(scored, by_query, self.settings.min_score)
        count = min(self.options.sheet_images, len(examples))
        if not count:
            return
        # Spread over the data set, because neighbors are often about one image.
        chosen = [examples[int(index)] for index in np.linspace(0, len(examples) - 1, count).round()]
        sheet = draw_sheet([chosen[start : start + COLUMNS] for start in range(0, count, COLUMNS)])
        with write_atomically(file) as draft:
            sheet.save(draft, format='PNG')


def load_validation_set(options: ValidationConfig) -> ValidationSet:
    """Load the queries and check their images.

    Raises:
        ConfigError: an option is unknown, or the data cannot be used.
    """
    check_names([options.benchmark], [*BENCHMARKS], 'benchmark')
    benchmark = BENCHMARKS[options.benchmark]
    split, report, data = options.split or benchmark.splits[0], SkipReport(), Path(options.data)
    images = Path(options.images) if options.images else None
    queries = benchmark.load_queries(data, split, report, images, options.absent)
    check_targets(queries, data)
    check_unread(queries, report.errors, data, options.max_skipped)
    queries = queries[: options.limit or None]
    check_targets(queries, data)
    check_images(queries, options.max_skipped)
    settings = EvaluationSettings(
        split, 'authors', benchmark.min_score, 'validation', options.prompt, absent=options.absent
    )
    prompted = tuple(with_prompt(queries, benchmark.prompt_of(options.prompt)))
    return ValidationSet(options, benchmark, settings, prompted)


def predict_image(segmenter: Segmenter, queries: Sequence[Query]) -> Iterator[PredictedMasks]:
    """Predict the queries of one image."""
    frame = read_frame(queries[0].image)
    for query in queries:
        yield predict(segmenter, query, frame, lambda: 0.0)
