"""`Question`: one instruction about one picture, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instructsam_model.errors import ConfigError
from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, Kind, Sample


@dataclass(frozen=True)
class Question:
    """One instruction about one picture, and what answers it.

    Attributes:
        id: unique in the benchmark's split.
        image: file of the picture.
        size_hw: its height and width, pixels; all masks have it.
        kind: whether `text` is a name or an instruction.
        text: the name or the instruction.
        targets: one mask an instance; empty when nothing in the picture answers.
        ignore: pixels that count for nothing.
        box_xyxy: the target's box, pixels, where the data set has one beside the mask.
        group: what sort of question it is, in benchmarks that report by sort; empty otherwise.
    """

    id: str
    image: Path
    size_hw: tuple[int, int]
    kind: Kind
    text: str
    targets: tuple[Rle, ...]
    ignore: Rle | None = None
    box_xyxy: tuple[float, float, float, float] | None = None
    group: str = ''


Prompt = Callable[[Kind, str], str]
"""The words in which a name or an instruction is put to the model."""


def questions_of(
    samples: Iterable[Sample], group: Callable[[Sample, Annotation], str] = lambda sample, annotation: ''
) -> Iterator[Question]:
    """The questions of samples, numbered within each."""
    for sample in samples:
        for number, annotation in enumerate(sample.annotations):
            yield Question(
                id=f'{sample.id}.{number}',
                image=sample.image,
                size_hw=sample.size_hw,
                kind=annotation.kind,
                text=annotation.text,
                targets=tuple(mask for part in annotation.parts for mask in part.masks),
                ignore=sample.ignore,
                box_xyxy=annotation.box_xyxy,
                group=group(sample, annotation),
            )


def phrased(questions: Iterable[Question], prompt: Prompt) -> list[Question]:
    """The questions, in the words in which they are put to the model."""
    return [replace(question, text=prompt(question.kind, question.text)) for question in questions]


def with_others_texts(questions: Sequence[Question], seed: int) -> list[Question]:
    """The questions, each with the text of another one: what a model gets that does not listen.

    Raises:
        ConfigError: there is only one.
    """
    if len(questions) < 2:
        raise ConfigError(f'shuffled instructions: expected at least two questions, got {len(questions)}')
    order = np.random.default_rng(seed).permutation(len(questions)).tolist()
    shuffled = list(questions)
    # One cycle through all of them: nobody keeps a text.
    for giver, taker in zip(order, [*order[1:], order[0]], strict=True):
        shuffled[taker] = replace(questions[taker], kind=questions[giver].kind, text=questions[giver].text)
    return shuffled


def by_picture(questions: Iterable[Question]) -> list[list[Question]]:
    """The questions about each picture together, pictures in the order in which they first appear."""
    groups: dict[Path, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.image, []).append(question)
    return list(groups.values())
