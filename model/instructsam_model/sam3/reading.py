"""What a segmenter of SAM3 searches for: the phrases in an instruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instructsam_model.errors import RequestError


@dataclass(frozen=True)
class Reading:
    """An instruction as the detector takes it.

    Attributes:
        phrases: what to search for, one after the other; each is an argument of `PhraseDetector.detect`.
        labels: of the instances of each.
        text: what to tell the user about the reading; empty for nothing.
    """

    phrases: tuple[Any, ...]
    labels: tuple[str, ...]
    text: str = ''


ReadInstruction = Callable[[str], Reading]


class PhraseReader:
    """Reads an instruction as phrases.

    Args:
        separator: text between two phrases; empty: the instruction is one phrase.
    """

    def __init__(self, separator: str = ',') -> None:
        self._separator = separator

    def __call__(self, text: str) -> Reading:
        """Read an instruction.

        Raises:
            RequestError: it has no phrase.
        """
        phrases = split_phrases(text, self._separator)
        return Reading(phrases, phrases)


def split_phrases(text: str, separator: str) -> tuple[str, ...]:
    """Split an instruction into phrases, without repeated ones and without white space around them.

    Raises:
        RequestError: nothing is left.
    """
    parts = text.split(separator) if separator else [text]
    phrases = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not phrases:
        raise RequestError(f'instruction: expected phrases such as "red mug{separator} plate", got {text!r}')
    return phrases
