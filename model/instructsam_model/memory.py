"""`Memory`: the last answers, which save the language model work when the same is asked again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from instructsam_model.datatypes import Frame
from instructsam_model.generation import Answer
from instructsam_model.steadiness import Thumbnail, changes_little

REMEMBERED = 64
"""Instructions whose last answers are kept."""


@dataclass(frozen=True)
class _Said:
    """An answer, the picture that it was about, and how many frames it has stood for since."""

    answer: Answer
    thumbnail: Thumbnail | None
    frames: int = 0


class Memory:
    """The last answer to each of the last instructions.

    Args:
        reuse_answers, steady_frames: as of `InstructSAMSegmenter`.
    """

    def __init__(self, *, reuse_answers: bool, steady_frames: int) -> None:
        self._reuse_answers = reuse_answers
        self._steady_frames = steady_frames
        self._said: dict[str, _Said] = {}

    def look(self, frame: Frame) -> Thumbnail | None:
        """What has to be kept of a frame to know later whether another looks like it; None where nobody will ask."""
        return Thumbnail.of(frame) if self._steady_frames else None

    def standing(self, instruction: str, thumbnail: Thumbnail | None) -> Answer | None:
        """The last answer to an instruction if it may stand for one more frame, which it then does."""
        said = self._said.get(instruction)
        if said is None or said.frames >= self._steady_frames or not changes_little(said.thumbnail, thumbnail):
            return None
        self._put(instruction, replace(said, frames=said.frames + 1))
        return said.answer

    def draft(self, instruction: str) -> tuple[int, ...]:
        """The tokens of the last answer to an instruction; empty where there was none."""
        said = self._said.get(instruction)
        return said.answer.token_ids if said is not None else ()

    def keep(self, instruction: str, answer: Answer, thumbnail: Thumbnail | None) -> None:
        """Remember an answer, and forget those that are asked for least recently."""
        if self._reuse_answers or self._steady_frames:
            self._put(instruction, _Said(answer, thumbnail))

    def _put(self, instruction: str, said: _Said) -> None:
        self._said.pop(instruction, None)
        self._said[instruction] = said
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
