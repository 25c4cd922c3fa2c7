"""`AnswerCache`: the last answers, which save the language model work when the same is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from instructsam_model.datatypes import Frame
from instructsam_model.instructsam.generation import Answer
from instructsam_model.instructsam.prompt_lookup import PhraseStyle
from instructsam_model.instructsam.scene_change import Thumbnail, changes_little

Asked = tuple[str, str]
"""Optical frame of the camera, and the instruction: another camera sees something else."""
REMEMBERED = 64
"""Of what was asked, the last answers that are kept."""


@dataclass(frozen=True)
class _Said:
    """An answer, the picture that it was about, and how many frames it has stood for since."""

    answer: Answer
    thumbnail: Thumbnail | None
    frames: int = 0


class AnswerCache:
    """The last answer to each of the last instructions, camera by camera.

    Args:
        speculative_decoding, max_cached_frames: as of `InstructSAMSegmenter`.

    Attributes:
        style: how phrases are written, learned from the answers if they are reused: else nothing of an answer, not even
            the last bits, depends on those before it.
    """

    def __init__(self, *, speculative_decoding: bool, max_cached_frames: int) -> None:
        self._speculative_decoding = speculative_decoding
        self._max_cached_frames = max_cached_frames
        self.style = PhraseStyle()
        self._said: dict[Asked, _Said] = {}

    def look(self, frame: Frame) -> Thumbnail | None:
        """What has to be kept of a frame to know later whether another looks like it; None where nobody will ask."""
        return Thumbnail.of(frame) if self._max_cached_frames else None

    def standing(self, asked: Asked, thumbnail: Thumbnail | None) -> Answer | None:
        """The last answer if it may stand for one more frame, which it then does."""
        said = self._said.get(asked)
        if said is None or said.frames >= self._max_cached_frames or not changes_little(said.thumbnail, thumbnail):
            return None
        self._put(asked, replace(said, frames=said.frames + 1))
        return said.answer

    def draft(self, asked: Asked) -> tuple[int, ...]:
        """The tokens of the last answer; empty where there was none."""
        said = self._said.get(asked)
        return said.answer.token_ids if said is not None else ()

    def keep(self, asked: Asked, answer: Answer, thumbnail: Thumbnail | None, phrases: Sequence[str] = ()) -> None:
        """Remember an answer with its phrases, and forget those that are asked for least recently."""
        if self._speculative_decoding:
            self.style.learn(asked[1], phrases)
        if self._speculative_decoding or self._max_cached_frames:
            self._put(asked, _Said(answer, thumbnail))

    def _put(self, asked: Asked, said: _Said) -> None:
        self._said.pop(asked, None)
        self._said[asked] = said
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
