"""Runs one evaluation, from the queries to the report; `instructsam-eval` and the evaluation of a ROS node share it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from instructsam_model.backend_arguments import given_options
from instructsam_model.backends import find_backend, own_options, resolve_checkpoint
from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import CheckpointError, ConfigError, InferenceError
from instructsam_model.options import make_options
from instructsam_model.weights.embedded import EMBEDDED
from instructsam_training.data.sample import SkipReport
from instructsam_training.evaluation.arguments import check_arguments
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.benchmarks import BENCHMARKS
from instructsam_training.evaluation.checks import (
    check_images,
    check_scores,
    check_skipped,
    check_targets,
    check_unread,
)
from instructsam_training.evaluation.external_predictions import (
    check_predictions_file,
    read_external_predictions,
    write_queries,
)
from instructsam_training.evaluation.prediction import PredictedMasks, load_predictions
from instructsam_training.evaluation.query import Query, with_texts
from instructsam_training.evaluation.replay import find_transcripts, replay_predictions
from instructsam_training.evaluation.report.files import write_json
from instructsam_training.evaluation.report.page import write_page
from instructsam_training.evaluation.report.report import EvaluationSettings, make_report
from instructsam_training.evaluation.report.speed import speed_line, summarize_speed
from instructsam_training.evaluation.report.table import report_tables
from instructsam_training.evaluation.result import EvaluationResult
from instructsam_training.evaluation.run import EvaluationRun, predict_all, prepare_folder, start_processes
from instructsam_training.evaluation.sam3i.public_scoring import score_as_public
from instructsam_training.evaluation.transcripts import TranscriptFolder

EXIT_SUCCESS, EXIT_SKIPPED, EXIT_FAILURE, EXIT_INTERRUPTED = 0, 1, 2, 130


class OpenSegmenter(Protocol):
    """Loads a segmenter; the arguments are those of `instructsam_model.load_segmenter`."""

    def __call__(
        self, checkpoint: str, /, *, device: str, backend: str, dtype: str, threads: int, **options: Any
    ) -> AbstractContextManager[tuple[Segmenter, Callable[[], float]]]:
        """Return a context with the segmenter, and a function that returns the peak memory so far, in GiB."""
        ...


def run_command(arguments: argparse.Namespace, open_segmenter: OpenSegmenter) -> int:
    """Run an evaluation and print errors.

    Args:
        arguments: of `build_parser`.
        open_segmenter: loads the segmenter, unless the arguments name a file of predictions.

    Returns:
        The exit status: 0 if everything was scored, 1 if something was skipped, 2 on an error.
    """
    console = Console(stderr=True)
    try:
        if arguments.write_queries is not None:
            return _exit_status(write_benchmark(arguments), console)
        result = evaluate_benchmark(arguments, open_segmenter, console)
        return EXIT_SUCCESS if result is None else _exit_status(result.skipped, console)
    except (CheckpointError, ConfigError, InferenceError, OSError) as error:
        print(f'{arguments.command}: error: {" ".join(str(error).split())}', file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def write_benchmark(arguments: argparse.Namespace) -> list[str]:
    """Write the queries of a benchmark to a file; returns what was skipped.

    Raises:
        ConfigError: the data set cannot be used.
        OSError: the file cannot be written.
    """
    skipped = SkipReport()
    write_queries(_load_queries(arguments, skipped)[: arguments.limit], arguments.write_queries)
    return [str(error) for error in skipped.errors]


def evaluate_benchmark(
    arguments: argparse.Namespace,
    open_segmenter: OpenSegmenter,
    console: Console,
    *,
    is_loaded: bool = False,
    identity: Mapping[str, Any] | None = None,
) -> EvaluationResult | None:
    """Predict the queries that have no prediction yet, score all of them, and write the report.

    Args:
        arguments: of `build_parser`.
        open_segmenter: see `run_command`.
        console: for progress and summary.
        is_loaded: `open_segmenter` returns a segmenter that is loaded already, whatever the checkpoint is.
        identity: what tells this segmenter from others; with it, its run can be resumed.

    Returns:
        The report; None in processes other than the first.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: the data set or the predictions cannot be used, too many queries were skipped, or the output folder
            has predictions of another run.
        OSError: a file cannot be written.
    """
    check_arguments(arguments)
    benchmark, skipped = BENCHMARKS[arguments.benchmark], SkipReport()
    split = arguments.split or benchmark.splits[0]
    all_queries = _load_queries(arguments, skipped)
    queries = all_queries[: arguments.limit]
    # Predictions come from a file or from a checkpoint; everything after them is the same.
    predictions: Mapping[str, PredictedMasks] | None
    if arguments.predictions is not None:
        settings = _make_settings(arguments, benchmark, str(arguments.predictions))
        check_predictions_file(arguments.predictions, benchmark.name, split)
        predictions = read_external_predictions(arguments.predictions, all_queries, skipped)
        check_scores(predictions, settings.min_score, arguments.predictions)
    elif arguments.replay is not None:
        settings = _make_settings(arguments, benchmark, str(arguments.replay))
        queries = with_texts(queries, benchmark.prompt_of(settings.prompt), settings.shuffle_seed)
        predictions = replay_predictions(arguments.replay, queries)
    else:
        check_images(queries, arguments.max_skipped)
        run = replace(_make_run(arguments, benchmark, queries, is_loaded=is_loaded), identity=identity)
        settings, queries = run.settings, list(run.queries)
        predictions = _predict(run, arguments, open_segmenter, console)
    if predictions is None:  # not the main process
        return None
    check_skipped(queries, predictions, [str(error) for error in skipped.errors], arguments.max_skipped)
    return _write_report(arguments, settings, queries, predictions, skipped, console)


def _write_report(
    arguments: argparse.Namespace,
    settings: EvaluationSettings,
    queries: Sequence[Query],
    predictions: Mapping[str, PredictedMasks],
    skipped: SkipReport,
    console: Console,
) -> EvaluationResult:
    """Score predictions, print the tables, and write the numbers and the page."""
    benchmark, unread = BENCHMARKS[arguments.benchmark], [str(error) for error in skipped.errors]
    report, scored = make_report(benchmark, settings, queries, predictions, unread, skipped.notes)
    folder, speed = output_folder(arguments), summarize_speed([*predictions.values()])
    if benchmark.public is not None:
        report['public'] = score_as_public(benchmark.public, arguments, settings, queries, predictions, folder)
    _write_numbers(report, speed, folder, console)
    transcripts = TranscriptFolder(folder) if arguments.replay is None else find_transcripts(arguments.replay)
    write_page(folder / 'report.html', report, scored, predictions, speed, transcripts)
    console.print(f'report: {folder / "report.html"}', soft_wrap=True)
    return EvaluationResult(folder, report, speed)


def _load_queries(arguments: argparse.Namespace, skipped: SkipReport) -> list[Query]:
    """Load all queries of the split.

    Raises:
        ConfigError: the data set cannot be used.
    """
    benchmark = BENCHMARKS[arguments.benchmark]
    split = arguments.split or benchmark.splits[0]
    queries = benchmark.load_queries(arguments.data, split, skipped, arguments.images, arguments.absent)
    check_targets(queries, arguments.data)
    check_unread(queries, skipped.errors, arguments.data, arguments.max_skipped)
    return queries


def output_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of the predictions and the report."""
    split = arguments.split or BENCHMARKS[arguments.benchmark].splits[0]
    return arguments.out or Path('evaluation', f'{arguments.benchmark}-{split}')


def _make_run(
    arguments: argparse.Namespace, benchmark: Benchmark, queries: Sequence[Query], *, is_loaded: bool
) -> EvaluationRun:
    """Return the evaluation of a checkpoint, or of a segmenter that is loaded already.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: an option is unknown or out of range.
    """
    source = None if is_loaded else resolve_checkpoint(arguments.checkpoint)
    backend = None if source is None else find_backend(source, arguments.backend)
    settings = _make_settings(arguments, benchmark, arguments.checkpoint, backend.name if backend else '')
    if backend is not None:
        # Checked here and not only by the back end, so that --fresh does not delete predictions before an error.
        make_options(backend.options, own_options(backend, settings.options), f'back end {backend.name}')
    return EvaluationRun(
        benchmark=benchmark,
        settings=settings,
        queries=with_texts(queries, benchmark.prompt_of(settings.prompt), settings.shuffle_seed),
        source=source,
        backend=backend,
        folder=output_folder(arguments),
        command=arguments.command,
        dtype=arguments.dtype,
    )


def _make_settings(
    arguments: argparse.Namespace, benchmark: Benchmark, source: str, backend: str = ''
) -> EvaluationSettings:
    return EvaluationSettings(
        split=arguments.split or benchmark.splits[0],
        scoring=arguments.scoring,
        min_score=benchmark.min_score if arguments.min_score is None else arguments.min_score,
        source=source,
        prompt=arguments.prompt,
        backend=backend,
        options=given_options(arguments) if backend else {},
        shuffle_seed=arguments.shuffle_instructions,
        absent=arguments.absent,
        keep_best=arguments.keep_best,
    )


def _predict(
    run: EvaluationRun, arguments: argparse.Namespace, open_segmenter: OpenSegmenter, console: Console
) -> Mapping[str, PredictedMasks] | None:
    """Return the predictions of all processes; None in processes other than the first."""
    processes = start_processes(arguments.device, arguments.process_timeout)
    if processes.is_main_process:
        prepare_folder(run, fresh=arguments.fresh)
    processes.wait_for_everyone()
    # The local path, so that only one process downloads; the embedded checkpoint is loaded by its name.
    checkpoint = arguments.checkpoint
    if checkpoint != EMBEDDED and run.source is not None:
        checkpoint = str(run.source.path)
    settings = {
        'device': str(processes.device) if arguments.device == 'auto' else arguments.device,
        'backend': run.backend.name if run.backend else arguments.backend,
        'dtype': run.dtype,
        'threads': arguments.threads,
    }
    # Options of the command line override those that the back end prefers for evaluations.
    with open_segmenter(checkpoint, **settings, **run.options) as (segmenter, peak_memory_gib):
        predict_all(run, segmenter, peak_memory_gib, processes, console, arguments.process_timeout)
    return load_predictions(run.folder) if processes.is_main_process else None


def _write_numbers(report: Mapping[str, Any], speed: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Write report.json and speed.json and print their tables."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'report.json', report)
    # Tables go to stdout, progress and summary to stderr.
    Console().print(*report_tables(report))
    for what, number in report['notes'].items():
        console.print(f'{what}: {number}', markup=False)
    if speed:
        write_json(folder / 'speed.json', speed)
        console.print(speed_line(speed))


def _exit_status(skipped: Sequence[str], console: Console) -> int:
    """Print how much was skipped and return the exit status."""
    if not skipped:
        return EXIT_SUCCESS
    # Paths may contain square brackets, which rich would read as markup.
    console.print(f'{len(skipped)} skipped, the first: {skipped[0]}', soft_wrap=True, markup=False)
    return EXIT_SKIPPED
