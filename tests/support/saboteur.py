"""A segmenter that goes wrong in the way that the instruction names."""

from __future__ import annotations

import threading
from collections.abc import Callable

from instructsam_model import Frame, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import NonFiniteError
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.worker_bench import TIMEOUT_S, OutOfMemoryError


class Saboteur(FakeSegmenter):
    """As FakeSegmenter, with faults.

    'not finite' finds a NaN, 'too much' runs out of memory, 'exit' ends its thread and 'stuck' waits for `released`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Answer, or not."""
        if 'too much' in instruction.text:
            raise OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB')
        if 'not finite' in instruction.text:
            raise NonFiniteError(
                'SAM3 decoder: masks are not finite (NaN or infinity), so there is no result; the weights are damaged '
                'or do not fit their precision: load another checkpoint, or this one with dtype float32'
            )
        if 'exit' in instruction.text:
            raise SystemExit('a library had enough')
        if 'stuck' in instruction.text:
            self.released.wait(2 * TIMEOUT_S)
        return super().segment(frame, instruction, selection, is_canceled=is_canceled)
