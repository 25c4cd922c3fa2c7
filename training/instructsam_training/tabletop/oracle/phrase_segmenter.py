"""`PhraseSegmenter`: a segmenter of instructions that is asked for phrases, in the place of SAM3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from instructsam_model.datatypes import Frame, Instruction, Segmentation, Segmenter, Selection, never


class PhraseSegmenter:
    """Puts phrases into an instruction, such as 'the red mugs', because a segmenter has learned only instructions.

    Args:
        segmenter: finds what an instruction asks for.
        wording: the instruction; `{}` is the phrase.
    """

    def __init__(self, segmenter: Segmenter, wording: str = 'the {}') -> None:
        self._segmenter = segmenter
        self._wording = wording

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Find the instances of a phrase, see `Segmenter.segment`."""
        asked = replace(instruction, text=self._wording.format(instruction.text))
        found = self._segmenter.segment(frame, asked, selection, is_canceled=is_canceled)
        return replace(found, instruction=instruction)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Prepare for images of a size."""
        self._segmenter.warm_up(size_wh)

    def memory_bytes(self) -> int | None:
        """Return the memory of the segmenter, in bytes; None if it is unknown."""
        return self._segmenter.memory_bytes()

    def close(self) -> None:
        """Close the segmenter."""
        self._segmenter.close()
