"""A segmenter without a network, for the tests of the ROS shell: it finds pixels by their color."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from instructsam_model import Frame, Instance, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import InferenceError, raise_if_canceled
from instructsam_model.masks import tight_box

COLORS_RGB = {'red': (255, 0, 0), 'green': (0, 255, 0), 'blue': (0, 0, 255)}


class FakeSegmenter:
    """Answers an instruction that names colors with one instance for each that is in the image.

    'everything' adds an instance that covers the image; 'fail' raises. Scores fall from 0.9 in steps of 0.2.

    Args:
        delay_s: how long a result takes at least; it stops when it is canceled.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self.warmed: list[tuple[int, int]] = []
        self.closed = 0

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        """Remember it."""
        self.warmed.append(size_wh)
        self.threads.add(threading.get_ident())

    def memory_bytes(self) -> int | None:
        """Return None: unknown."""
        return None

    def close(self) -> None:
        """Count the call, and refuse further requests."""
        self.closed += 1
        self.threads.add(threading.get_ident())

    def _work(self, is_canceled: Callable[[], bool]) -> None:
        """Take `delay_s`, in passes of 10 ms."""
        deadline_s = time.monotonic() + self.delay_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            raise_if_canceled(is_canceled)
            time.sleep(min(left_s, 0.01))

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        """Answer as the class says."""
        if self.closed:
            raise InferenceError('the segmenter is closed; load another one')
        raise_if_canceled(is_canceled)
        self.asked.append(instruction.text)
        self.threads.add(threading.get_ident())
        self._work(is_canceled)
        if 'fail' in instruction.text:
            raise RuntimeError('the model broke')
        selection = selection or Selection()
        masks = [
            (name, np.all(frame.image_rgb == color, axis=2))
            for name, color in COLORS_RGB.items()
            if name in instruction.text
        ]
        if 'everything' in instruction.text:
            masks.append(('everything', np.ones(frame.image_rgb.shape[:2], dtype=np.bool_)))
        found = [(name, mask, box) for name, mask in masks if (box := tight_box(mask)) is not None]
        instances = [
            Instance(mask, box, round(0.9 - 0.2 * rank, 1), name) for rank, (name, mask, box) in enumerate(found)
        ]
        kept = [instance for instance in instances if instance.score > selection.min_score]
        return Segmentation(
            instances=tuple(kept[: selection.max_instances]),
            instruction=instruction,
            text=', '.join(name for name, _, _ in found),
            size_wh=frame.size_wh,
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            truncated=len(kept) > selection.max_instances,
        )
