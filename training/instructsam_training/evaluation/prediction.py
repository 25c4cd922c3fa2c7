"""`Answer`, and the file of answers: a line each, on disk before the next question is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from instructsam_model.datatypes import Segmentation
from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle, encode_rle

FILES = 'answers-*.jsonl'


@dataclass(frozen=True)
class Answer:
    """What a model answered to one question.

    Attributes:
        id: of the question.
        masks: one for each slot that has a pixel, best score first; no score is too low to be here.
        scores: the confidence of each mask, 0..1.
        text: what the model wrote.
        seconds: how long it took; 0 where nobody measured.
        stages: seconds of each stage, by name.
        memory_gib: the most memory that the process had used by then.
        error: why there is no answer; empty when there is one.
    """

    id: str
    masks: tuple[Rle, ...] = ()
    scores: tuple[float, ...] = ()
    text: str = ''
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    memory_gib: float = 0.0
    error: str = ''


def answer_of(question_id: str, segmentation: Segmentation, seconds: float, memory_gib: float) -> Answer:
    """A segmentation as an answer."""
    return Answer(
        id=question_id,
        masks=tuple(encode_rle(instance.mask) for instance in segmentation.instances),
        scores=tuple(instance.score for instance in segmentation.instances),
        text=segmentation.raw_text or segmentation.text,
        seconds=seconds,
        stages=dict(segmentation.timings),
        memory_gib=memory_gib,
    )


class AnswerLog:
    """Appends answers to a file, so that none that was noted is lost when the process dies.

    A last line that an earlier process did not finish is cut off first.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open('a+b')
        self._stream.seek(0)
        whole = self._stream.read().rfind(b'\n') + 1
        self._stream.truncate(whole)

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()

    def note(self, answer: Answer) -> None:
        """Write one answer, and return when it is on disk."""
        self._stream.write(json.dumps(asdict(answer)).encode() + b'\n')
        self._stream.flush()
        os.fsync(self._stream.fileno())


def log_of(folder: Path, rank: int) -> Path:
    """Where process `rank` notes its answers."""
    return folder / FILES.replace('*', str(rank))


def read_answers(folder: Path) -> dict[str, Answer]:
    """The answers of all processes by question; the first counts, and any counts more than a failure.

    Raises:
        ConfigError: a line other than an unfinished last one cannot be read.
    """
    return first_of_each(answer for file in sorted(folder.glob(FILES)) for answer in _read(file))


def first_of_each(answers: Iterable[Answer]) -> dict[str, Answer]:
    """The answers by question; the first counts, and any counts more than a failure."""
    kept: dict[str, Answer] = {}
    for answer in answers:
        if answer.id not in kept or (kept[answer.id].error and not answer.error):
            kept[answer.id] = answer
    return kept


def _read(file: Path) -> list[Answer]:
    lines = file.read_bytes().split(b'\n')[:-1]
    answers = []
    for number, line in enumerate(lines, 1):
        try:
            answers.append(_parse(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f'{file}:{number}: expected an answer, got {line[:60]!r}: {error}') from None
    return answers


def _parse(fields: dict[str, Any]) -> Answer:
    return Answer(**{**fields, 'masks': tuple(fields['masks']), 'scores': tuple(fields['scores'])})
