"""Scene-change detection: whether an image still shows what an earlier one showed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.datatypes import Frame

THUMBNAIL_WH = (32, 24)
"""Cells small enough that a relevant object fills one, and large enough that camera noise averages out."""
CHANGE_THRESHOLD = 10.0
"""Largest difference of a cell's mean color that counts as noise, of 255."""


@dataclass(frozen=True)
class Thumbnail:
    """The mean color of each cell of an image, float32 [24, 32, 3], 0 to 255."""

    cells: NDArray[np.float32]

    @classmethod
    def of(cls, frame: Frame) -> Thumbnail:
        """Return the thumbnail of a frame."""
        return cls(cv2.resize(frame.image_rgb, THUMBNAIL_WH, interpolation=cv2.INTER_AREA).astype(np.float32))


def is_scene_unchanged(before: Thumbnail | None, now: Thumbnail | None) -> bool:
    """Return whether no cell differs by more than noise and exposure do: nothing appeared, disappeared or moved.

    Movements of less than a cell can remain undetected and add up over time. Compare with the image that an answer was
    generated for, not with the previous one. Without a thumbnail the scene counts as changed.
    """
    if before is None or now is None:
        return False
    return float(np.abs(now.cells - before.cells).max()) < CHANGE_THRESHOLD
