"""`LevelReader`: an instruction as texts of one level."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from transformers import CLIPTokenizer

from instructsam_model.sam3.reading import Reading, split_phrases
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.router import route
from instructsam_model.sam3i.tokens import MAX_PIECES, count_pieces, tokenize_text

READING_CACHE_SIZE = 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LevelText:
    """A text as SAM3-I reads it.

    Attributes:
        token_ids: of the text, with padding.
        level: of the text.
    """

    token_ids: tuple[int, ...]
    level: Level


class LevelReader:
    """Reads an instruction at a level.

    The text of a reading says the level, whether it was guessed, and whether the end of a text was cut off.

    Args:
        tokenizer: CLIP's.
        level: of all instructions; None to guess it for each, see `route`.
        concepts: of `route`.
        phrase_separator: text between the phrases of a concept.
    """

    def __init__(
        self,
        tokenizer: CLIPTokenizer,
        level: Level | None,
        *,
        concepts: Sequence[str] = (),
        phrase_separator: str = ',',
    ) -> None:
        # A continuous query has the same instruction for every image, of which one warning is enough.
        self._read = lru_cache(maxsize=READING_CACHE_SIZE)(self._read_once)
        self._tokenizer = tokenizer
        self._level = level
        self._concepts = concepts
        self._separator = phrase_separator

    def __call__(self, text: str) -> Reading:
        """Read an instruction: at level concept as phrases, otherwise as one text.

        Raises:
            RequestError: it has no phrase.
        """
        return self._read(text)

    def _read_once(self, text: str) -> Reading:
        level = self._level or route(text, self._concepts)
        texts = split_phrases(text, self._separator if level is Level.CONCEPT else '')
        notes = [f'level: {level.value}' + ('' if self._level else ', guessed from the words')]
        for each in texts:
            pieces = count_pieces(self._tokenizer, each)
            if pieces > MAX_PIECES:
                logger.warning(
                    'instruction of %d word pieces: only the first %d are read, shorten it: %r',
                    pieces,
                    MAX_PIECES,
                    each,
                )
                notes.append(f'read the first {MAX_PIECES} of {pieces} word pieces')
        prompts = tuple(LevelText(tokenize_text(self._tokenizer, each), level) for each in texts)
        return Reading(prompts, texts, '; '.join(notes))
