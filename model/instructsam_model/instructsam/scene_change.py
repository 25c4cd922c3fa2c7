"""Whether a picture shows what another one showed, for answers that need not be thought over again."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.datatypes import Frame

CELLS_WH = (32, 24)
"""Small enough for an object that matters to fill one, large enough for a camera's noise to average out."""
LITTLE = 10.0
"""Of 255."""


@dataclass(frozen=True)
class Thumbnail:
    """The mean color of each cell of a picture, float32 [24, 32, 3], 0 to 255."""

    cells: NDArray[np.float32]

    @classmethod
    def of(cls, frame: Frame) -> Thumbnail:
        """Shrink a frame."""
        return cls(cv2.resize(frame.image_rgb, CELLS_WH, interpolation=cv2.INTER_AREA).astype(np.float32))


def changes_little(before: Thumbnail | None, now: Thumbnail | None) -> bool:
    """Whether no cell of a picture has changed by more than noise and exposure do: nothing came, went or moved.

    What moves by less than a cell may pass unseen, and adds up: compare with the picture that was answered, not with
    the last one.
    """
    if before is None or now is None:
        return False
    return float(np.abs(now.cells - before.cells).max()) < LITTLE
