"""Asking a segmenter all questions, and noting each answer before the next question."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from instructsam_model.datatypes import Frame, Instruction, Segmenter, Selection
from instructsam_model.errors import ConfigError, FrameError
from instructsam_model.image_io import read_image
from instructsam_training.evaluation.prediction import Answer, AnswerLog, answer_of
from instructsam_training.evaluation.query import Question

EVERYTHING = Selection(min_score=0.0, max_instances=1000)
"""All slots are noted; what a benchmark keeps is chosen when it is judged."""

PICTURES_AHEAD = 4


def ask(
    segmenter: Segmenter,
    groups: Iterable[Sequence[Question]],
    log: AnswerLog,
    memory_gib: Callable[[], float],
) -> Iterator[tuple[Question, Answer]]:
    """Ask all questions, those about one picture one after the other, with the same `Frame` object.

    A picture that cannot be read, or is not of the size of its masks, fails its questions and no others.

    Args:
        segmenter: who answers.
        groups: the questions about each picture.
        log: where answers are noted.
        memory_gib: the most memory used so far.

    Yields:
        Each question with its answer, once that is on disk.
    """
    for questions, picture in _read_ahead(groups):
        for question in questions:
            answer = _answer(segmenter, question, picture, memory_gib)
            log.note(answer)
            yield question, answer


def _answer(
    segmenter: Segmenter, question: Question, picture: Frame | FrameError, memory_gib: Callable[[], float]
) -> Answer:
    try:
        if isinstance(picture, FrameError):
            raise picture
        if picture.size_wh[::-1] != question.size_hw:
            raise FrameError(
                f'{question.image}: expected the size {question.size_hw} (H, W) of its masks, '
                f'got {picture.size_wh[::-1]}'
            )
        start = time.perf_counter()
        segmentation = segmenter.segment(picture, Instruction(question.text, question.id), EVERYTHING)
        return answer_of(question.id, segmentation, time.perf_counter() - start, memory_gib())
    except (FrameError, ConfigError) as error:
        return Answer(question.id, error=' '.join(str(error).split()))


def _read_ahead(
    groups: Iterable[Sequence[Question]],
) -> Iterator[tuple[Sequence[Question], Frame | FrameError]]:
    """Each group with its picture, which a thread has read while earlier groups were answered."""
    waiting: deque[tuple[Sequence[Question], Future[Frame | FrameError]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as reader:
        try:
            for questions in groups:
                waiting.append((questions, reader.submit(_read, questions[0].image)))
                if len(waiting) > PICTURES_AHEAD:
                    first, picture = waiting.popleft()
                    yield first, picture.result()
            while waiting:
                first, picture = waiting.popleft()
                yield first, picture.result()
        finally:
            reader.shutdown(cancel_futures=True)


def _read(file: Path) -> Frame | FrameError:
    try:
        return Frame(read_image(file))
    except FrameError as error:
        return error
