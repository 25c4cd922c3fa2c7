"""`AnswerCache`: the latest generated answers, reused while the scene does not change and as draft tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from instructsam_model.datatypes import Frame, Instruction
from instructsam_model.instructsam.generation import GeneratedAnswer
from instructsam_model.instructsam.prompt_lookup import PhraseStyle
from instructsam_model.instructsam.scene_change import Thumbnail, is_scene_unchanged

CACHE_SIZE = 64
"""Answers that are kept; the least recently used one is dropped first."""


class CacheKey(NamedTuple):
    """What an answer depends on besides the content of the image.

    Attributes:
        frame_id: optical frame of the camera; cameras see different scenes.
        instruction: text of the instruction.
    """

    frame_id: str
    instruction: str

    @classmethod
    def of(cls, frame: Frame, instruction: Instruction) -> CacheKey:
        """Return the key of an instruction about a frame."""
        return cls(frame.frame_id, instruction.text)


@dataclass(frozen=True)
class Entry:
    """A cached answer.

    Attributes:
        answer: as it was generated.
        thumbnail: of the image that it was generated for; None if change detection is off.
        num_reuses: for how many later frames it has been reused.
    """

    answer: GeneratedAnswer
    thumbnail: Thumbnail | None
    num_reuses: int = 0


class AnswerCache:
    """The last answer to each of the latest instructions, separately for each camera.

    Args:
        speculative_decoding: see `InstructSAMSegmenter`.
        max_cached_frames: see `InstructSAMSegmenter`.

    Attributes:
        style: how the model writes phrases, learned from the cached answers. It stays at its default without
            speculative decoding, so that no result depends on earlier ones, not even in the last bits.
    """

    def __init__(self, *, speculative_decoding: bool, max_cached_frames: int) -> None:
        self._speculative_decoding = speculative_decoding
        self._max_cached_frames = max_cached_frames
        self.style = PhraseStyle()
        self._entries: dict[CacheKey, Entry] = {}  # least recently used first

    def fingerprint(self, frame: Frame) -> Thumbnail | None:
        """Return the thumbnail of a frame for change detection; None if answers are never reused."""
        return Thumbnail.of(frame) if self._max_cached_frames else None

    def reuse(self, key: CacheKey, thumbnail: Thumbnail | None) -> GeneratedAnswer | None:
        """Return the cached answer if the scene is unchanged and count the reuse; None if it must be generated."""
        entry = self._entries.get(key)
        if entry is None or entry.num_reuses >= self._max_cached_frames:
            return None
        # Compared with the image that the answer was generated for, so that slow changes add up.
        if not is_scene_unchanged(entry.thumbnail, thumbnail):
            return None
        self._insert(key, replace(entry, num_reuses=entry.num_reuses + 1))
        return entry.answer

    def draft(self, key: CacheKey) -> tuple[int, ...]:
        """Return the tokens of the last answer as draft tokens; empty without one."""
        entry = self._entries.get(key)
        return entry.answer.token_ids if entry is not None else ()

    def put(
        self, key: CacheKey, answer: GeneratedAnswer, thumbnail: Thumbnail | None, phrases: Sequence[str] = ()
    ) -> None:
        """Cache a generated answer.

        Args:
            key: of the frame and the instruction.
            answer: as generated.
            thumbnail: `fingerprint` of the frame.
            phrases: text of the answer's phrases, from which `style` learns.
        """
        if self._speculative_decoding:
            self.style.update(key.instruction, phrases)
        if self._speculative_decoding or self._max_cached_frames:
            self._insert(key, Entry(answer, thumbnail))

    def _insert(self, key: CacheKey, entry: Entry) -> None:
        """Insert an entry as the most recently used one."""
        self._entries.pop(key, None)
        self._entries[key] = entry
        while len(self._entries) > CACHE_SIZE:
            del self._entries[next(iter(self._entries))]
