"""Prediction of all queries of an evaluation, in one process or several; an interrupted run is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from instructsam_model.backends import Backend
from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import ConfigError
from instructsam_model.weights.hub import CheckpointSource
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.inference import run_inference
from instructsam_training.evaluation.prediction import (
    FILE_PATTERN,
    PredictedMasks,
    PredictionLog,
    load_predictions,
    log_file,
)
from instructsam_training.evaluation.query import Query, group_by_image
from instructsam_training.evaluation.report.files import write_json
from instructsam_training.evaluation.report.report import EvaluationSettings
from instructsam_training.evaluation.scoring import score_query
from instructsam_training.evaluation.shared_progress import SharedProgress
from instructsam_training.evaluation.transcripts import TranscriptFolder

if TYPE_CHECKING:
    from accelerate import PartialState

SCORING_SETTINGS = ('min_score', 'scoring', 'keep_best')
"""Settings that predictions do not depend on, so that a run can be resumed or scored again with others."""


@dataclass(frozen=True)
class EvaluationRun:
    """One evaluation of a checkpoint.

    Attributes:
        benchmark: gives the score threshold and the IoU rule of the progress bar.
        settings: of the evaluation.
        queries: all queries, with the texts that the model gets.
        source: the checkpoint; None for a segmenter that is loaded already.
        backend: that reads it; None for a segmenter that is loaded already.
        folder: output folder.
        command: name of the command.
        dtype: of the weights, as in `load_segmenter`.
        identity: what tells a segmenter that is loaded already from others, so that its run can be resumed; None if
            nothing does.
    """

    benchmark: Benchmark
    settings: EvaluationSettings
    queries: Sequence[Query]
    source: CheckpointSource | None
    backend: Backend | None
    folder: Path
    command: str
    dtype: str
    identity: Mapping[str, Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Options of the back end, by `<backend>.<option>`: its defaults for evaluations, updated by the settings.

        Between them are the options that the texts of the split need.
        """
        if self.backend is None:
            return dict(self.settings.options)
        defaults = {f'{self.backend.name}.{name}': value for name, value in self.backend.evaluation_options.items()}
        needed = self.benchmark.backend_options.get(self.settings.split, {})
        own = {name: value for name, value in needed.items() if name.startswith(f'{self.backend.name}.')}
        return defaults | own | dict(self.settings.options)


def start_processes(device: str, timeout_min: float) -> PartialState:
    """Join the process group if `torchrun` started several processes; each predicts its share of the images.

    Args:
        device: of the model.
        timeout_min: minutes that a process waits for another.
    """
    from accelerate import PartialState  # imports torch

    return PartialState(cpu=device == 'cpu', timeout=timedelta(minutes=timeout_min))


def prepare_folder(run: EvaluationRun, *, fresh: bool) -> None:
    """Create the output folder, or check that its predictions are from a run with the same settings.

    Args:
        run: the evaluation.
        fresh: delete earlier predictions.

    Raises:
        ConfigError: the folder has predictions of another run.
    """
    file = run.folder / 'run.json'
    description = _describe(run)
    # run.json says what the predictions in the folder depend on; others must not be mixed with them.
    if fresh:
        for predictions in run.folder.glob(FILE_PATTERN):
            predictions.unlink()
        TranscriptFolder(run.folder).delete()
    elif file.exists() and any(run.folder.glob(FILE_PATTERN)):
        earlier = json.loads(file.read_text())
        if run.source is None and run.identity is None:
            raise ConfigError(
                f'{run.folder}: has predictions, and nothing says whether they are those of this segmenter; choose '
                'another out, or delete them with fresh'
            )
        different = [key for key in {**earlier, **description} if earlier.get(key) != description.get(key)]
        if different:
            raise ConfigError(
                f'{run.folder}: has predictions of a run that differs in {", ".join(different)}; '
                'choose another --out, or delete them with --fresh'
            )
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(file, description)


def predict_all(
    run: EvaluationRun,
    segmenter: Segmenter,
    peak_memory_gib: Callable[[], float],
    processes: PartialState,
    console: Console,
    timeout_min: float,
) -> None:
    """Predict this process's share of the queries that have no prediction yet.

    Args:
        run: the evaluation.
        segmenter: the model.
        peak_memory_gib: returns the peak memory of the segmenter's process.
        processes: this process and the others.
        console: for the progress bar.
        timeout_min: minutes that a process may take for one image.

    Raises:
        TimeoutError: another process has stopped.
    """
    done = {prediction.id for prediction in load_predictions(run.folder).values() if not prediction.error}
    progress = SharedProgress(run.folder, processes.process_index, processes.num_processes, 60 * timeout_min)
    # All processes must load the same predictions before any of them adds more.
    processes.wait_for_everyone()
    groups = group_by_image(query for query in run.queries if query.id not in done)
    # Whole images, so that no image is encoded by two processes.
    share = groups[processes.process_index :: processes.num_processes]
    # One file a process, so that processes do not write to the same file.
    log = PredictionLog(log_file(run.folder, processes.process_index))
    with log, _ProgressBar(run, share, console, enabled=processes.is_main_process) as bar:
        for query, prediction in run_inference(segmenter, share, log, peak_memory_gib, TranscriptFolder(run.folder)):
            bar.advance(query, prediction)
            progress.advance()
    progress.finish()


class _ProgressBar:
    """Progress bar with the mean IoU so far, of this process and this run."""

    def __init__(
        self, run: EvaluationRun, groups: Sequence[Sequence[Query]], console: Console, *, enabled: bool
    ) -> None:
        self._run = run
        self._iou_sum, self._count = 0.0, 0
        columns = (
            TextColumn(run.benchmark.name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
        )
        self._progress = Progress(*columns, console=console, disable=not enabled)
        self._task = self._progress.add_task('', total=sum(map(len, groups)), note='')

    def __enter__(self) -> _ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, query: Query, prediction: PredictedMasks) -> None:
        settings = self._run.settings
        if not prediction.error:
            rule = self._run.benchmark.iou_rule(settings.scoring)
            self._iou_sum += score_query(query, prediction, settings.min_score, rule)
            self._count += 1
        mean_iou = f'mean IoU {100 * self._iou_sum / self._count:.1f}  ' if self._count else ''
        self._progress.update(self._task, advance=1, note=f'{mean_iou}{prediction.seconds:.2f} s')


def describe_weights(source: CheckpointSource | None) -> dict[str, list[int]]:
    """Return size and time of the files of weights of a checkpoint, by name; none of a loaded segmenter."""
    if source is None:
        return {}
    files = sorted(source.path.glob('*.safetensors')) if source.path.is_dir() else [source.path]
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _describe(run: EvaluationRun) -> dict[str, Any]:
    """Return everything that predictions depend on; weights are compared by size and time."""
    # The ids, images, sizes and texts of all queries, as one hash: another --limit, seed or prompt changes it.
    queries = hashlib.sha256()
    for query in run.queries:
        queries.update(json.dumps([query.id, str(query.image), query.size_hw, query.text]).encode())
    settings = {key: value for key, value in asdict(run.settings).items() if key not in SCORING_SETTINGS}
    settings.pop('options')  # `run.options` has them too, with the defaults of evaluations
    return {
        'command': run.command,
        'benchmark': run.benchmark.name,
        **settings,
        'dtype': run.dtype,
        **run.options,
        'queries': queries.hexdigest(),
        **({'segmenter': dict(run.identity)} if run.identity is not None else {}),
        'weights': describe_weights(run.source),
    }
