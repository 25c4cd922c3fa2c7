"""A fake segmenter that works in rounds and reports them, as the back end `sam3_agent` does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from instructsam_model import Frame, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import raise_if_canceled
from instructsam_model.progress import Progress, ProgressListener
from tests.support.fake_segmenter import FakeSegmenter

ROUNDS = (
    Progress(1),
    Progress(1, 'segment_phrase', 'red block'),
    Progress(2),
    Progress(2, 'examine_each_mask', 'red block', 'mask 1 of 1'),
)
"""The steps of each request."""


class ReportingSegmenter(FakeSegmenter):
    """Reports `ROUNDS`, then answers as `FakeSegmenter`.

    Attributes:
        on_progress: see `ProgressReporter`.
        gate: the last step waits until it is set, or the request is canceled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_progress: ProgressListener | None = None
        self.gate = threading.Event()

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Answer as the class says."""
        for progress in ROUNDS:
            if self.on_progress is not None:
                self.on_progress(progress)
        while not self.gate.wait(0.005):
            raise_if_canceled(is_canceled)
        return super().segment(frame, instruction, selection, is_canceled=is_canceled)
