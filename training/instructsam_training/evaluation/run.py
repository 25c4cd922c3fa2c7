"""One evaluation of a checkpoint in a folder: begun, or gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import PartialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from instructsam_model.datatypes import Segmenter
from instructsam_model.errors import ConfigError
from instructsam_training.evaluation.benchmark import Benchmark
from instructsam_training.evaluation.inference import ask
from instructsam_training.evaluation.prediction import FILES, Answer, AnswerLog, log_of, read_answers
from instructsam_training.evaluation.query import Question, by_picture
from instructsam_training.evaluation.report.report import Setting, write_json
from instructsam_training.evaluation.scoring import judge_one

LONGEST_WAIT = timedelta(days=7)
"""How long a process that is done waits for the others."""


@dataclass(frozen=True)
class Run:
    """One evaluation of a checkpoint.

    Attributes:
        benchmark: what is asked.
        setting: how.
        questions: all of them, in the words in which they are put.
        folder: where the answers go.
        command: who asks.
        dtype: of the weights, as `load_segmenter` has it.
        options: those of `load_options`.
    """

    benchmark: Benchmark
    setting: Setting
    questions: Sequence[Question]
    folder: Path
    command: str
    dtype: str
    options: Mapping[str, Any] = field(default_factory=dict)


def start_processes(device: str) -> PartialState:
    """Join the other processes, if `torchrun` has started several; each answers its share of the pictures."""
    return PartialState(cpu=device == 'cpu', timeout=LONGEST_WAIT)


def begin(run: Run, weights: Sequence[Path], *, fresh: bool) -> None:
    """Make the folder ready: empty, or with the answers that an earlier run of the same kind has left.

    Args:
        run: what is to be answered.
        weights: files of the checkpoint, to recognize it by.
        fresh: forget earlier answers.

    Raises:
        ConfigError: the answers in the folder are of another run.
    """
    file = run.folder / 'run.json'
    description = _describe(run, weights)
    if fresh:
        for answers in run.folder.glob(FILES):
            answers.unlink()
    elif file.exists() and any(run.folder.glob(FILES)):
        former = json.loads(file.read_text())
        differing = [key for key in description if former.get(key) != description[key]]
        if differing:
            raise ConfigError(
                f'{run.folder}: holds answers of a run that differs in {", ".join(differing)}; '
                'choose another --out, or --fresh to forget them'
            )
    run.folder.mkdir(parents=True, exist_ok=True)
    write_json(file, description)


def answer_all(
    run: Run, segmenter: Segmenter, memory_gib: Callable[[], float], processes: PartialState, console: Console
) -> None:
    """Ask this process's share of the questions that have no answer yet.

    Args:
        run: what is to be answered.
        segmenter: who answers.
        memory_gib: tells the most memory that it has used so far.
        processes: this one and the others.
        console: for the progress.
    """
    answered = {answer.id for answer in read_answers(run.folder).values() if not answer.error}
    # Every process must have read the same answers before any adds to them.
    processes.wait_for_everyone()
    groups = by_picture(question for question in run.questions if question.id not in answered)
    mine = groups[processes.process_index :: processes.num_processes]
    log = AnswerLog(log_of(run.folder, processes.process_index))
    with log, _Bar(run, mine, console, shown=processes.is_main_process) as bar:
        for question, answer in ask(segmenter, mine, log, memory_gib):
            bar.advance(question, answer)
    processes.wait_for_everyone()


class _Bar:
    """A progress bar with the mean IoU so far, of this process and this run."""

    def __init__(self, run: Run, groups: Sequence[Sequence[Question]], console: Console, *, shown: bool) -> None:
        self._run = run
        self._sum, self._count = 0.0, 0
        columns = (
            TextColumn(run.benchmark.name),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn('{task.fields[note]}'),
        )
        self._progress = Progress(*columns, console=console, disable=not shown)
        self._task = self._progress.add_task('', total=sum(map(len, groups)), note='')

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, question: Question, answer: Answer) -> None:
        setting = self._run.setting
        if not answer.error:
            rule = self._run.benchmark.rule_of(setting.protocol)
            self._sum += judge_one(question, answer, setting.min_score, rule)
            self._count += 1
        note = f'mean IoU {100 * self._sum / self._count:.1f}  {answer.seconds:.2f} s' if self._count else ''
        self._progress.update(self._task, advance=1, note=note)


def _describe(run: Run, weights: Sequence[Path]) -> dict[str, Any]:
    """What must be the same for earlier answers to be of use."""
    asked = hashlib.sha256()
    for question in run.questions:
        asked.update(json.dumps([question.id, str(question.image), question.text]).encode())
    setting = {key: value for key, value in vars(run.setting).items() if key != 'min_score'}
    return {
        'command': run.command,
        'benchmark': run.benchmark.name,
        **setting,
        'dtype': run.dtype,
        **run.options,
        'questions': asked.hexdigest(),
        'weights': {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in weights},
    }
