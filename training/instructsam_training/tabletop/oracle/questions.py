"""`Question`: what the oracle knows about one question: the phrases to look for and the ground truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instructsam_model.errors import ConfigError
from instructsam_model.image_io import read_image
from instructsam_model.masks import Mask, Rle, decode_rle
from instructsam_training.datasets.io.files import find, load_list
from instructsam_training.evaluation.query import Query, group_by_image
from instructsam_training.tabletop.oracle.phrases import search_phrases

Key = tuple[bytes, str]
"""Hash of the pixels of an image, and a question about it."""


@dataclass(frozen=True, eq=False)
class Question:
    """One question of a tabletop data set.

    Attributes:
        id: of the query.
        text: the question.
        phrases: to look for, see `search_phrases`.
        target_rles: ground-truth masks; empty if nothing in the image matches.
    """

    id: str
    text: str
    phrases: tuple[str, ...]
    target_rles: tuple[Rle, ...]

    @cached_property
    def targets(self) -> list[Mask]:
        """The ground-truth masks, bool (H, W)."""
        return [decode_rle(rle) for rle in self.target_rles]


def read_questions(data: Path, queries: Iterable[Query]) -> dict[Key, Question]:
    """Return the questions of a tabletop data set by image and text, as the vision-language model gets them.

    Args:
        data: folder of the data set, or its `inst2seg.json`.
        queries: of that data set.

    Raises:
        ConfigError: the file has no phrase for a query, or one that is none of the tabletop's.
        FrameError: an image cannot be read.
    """
    file = data if data.is_file() else find(data, 'inst2seg.json')
    answers = {
        (str(index), entry['text']): entry.get('phrase')
        for index, record in enumerate(load_list(file))
        for entry in record['annotation']
    }
    questions: dict[Key, Question] = {}
    for group in group_by_image(queries):
        image = hash_image(read_image(group[0].image))
        for query in group:
            answer = answers.get((query.id.rpartition('.')[0], query.text))
            questions[image, query.text] = _make_question(query, answer, file)
    return questions


def hash_image(image_rgb: NDArray[np.uint8]) -> bytes:
    """Return a hash of the size and the pixels of an image, uint8 (H, W, 3)."""
    return hashlib.sha256(np.array(image_rgb.shape).tobytes() + image_rgb.tobytes()).digest()


def _make_question(query: Query, answer: str | None, file: Path) -> Question:
    if not answer:
        raise ConfigError(
            f'{file}: expected the phrase of a correct answer for {query.id} {query.text!r}, found none; '
            'write the data set with instructsam-tabletop'
        )
    try:
        phrases = search_phrases(answer)
    except ValueError as error:
        raise ConfigError(f'{file}: {query.id}: {error}') from None
    return Question(query.id, query.text, phrases, query.targets)
