"""`Detections`: the numbered masks of one phrase, as the vision-language model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from instructsam_model.masks import Mask


@dataclass(frozen=True, eq=False)
class Detections:
    """Masks of one image in the order of their numbers; the model counts them from 1, code from 0.

    Attributes:
        size_hw: height and width of the image, pixels.
        masks: N of bool (H, W).
        boxes_xywh: float32 (N, 4), left, top, width and height as fractions of the width and height of the image, of
            SAM3's box head: not the extents of the masks.
        scores: float32 (N,), SAM3's scores, 0..1.

    Raises:
        ValueError: a length, shape or type is not as above, or a number is not finite.
    """

    size_hw: tuple[int, int]
    masks: tuple[Mask, ...] = ()
    boxes_xywh: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.boxes_xywh.shape != (count, 4) or self.scores.shape != (count,):
            found = f'{self.boxes_xywh.shape} and {self.scores.shape}'
            raise ValueError(f'detections: expected boxes ({count}, 4) and scores ({count},), got {found}')
        for mask in self.masks:
            if mask.shape != tuple(self.size_hw) or mask.dtype != np.bool_:
                raise ValueError(f'detections: expected masks of bool {self.size_hw}, got {mask.dtype} {mask.shape}')
        if not (np.isfinite(self.boxes_xywh).all() and np.isfinite(self.scores).all()):
            raise ValueError('detections: expected finite boxes and scores, got NaN or infinity')

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, indices: Sequence[int]) -> Detections:
        """Return the masks of some indices (from 0), in the order of the indices."""
        order = np.array(indices, dtype=np.int64)
        masks = tuple(self.masks[index] for index in indices)
        return Detections(self.size_hw, masks, self.boxes_xywh[order], self.scores[order])

    @classmethod
    def from_pixels(
        cls, size_hw: tuple[int, int], masks: Sequence[Mask], boxes_xyxy: NDArray[np.float32], scores: Sequence[float]
    ) -> Detections:
        """Make detections from boxes in pixels, float32 (N, 4), dividing and subtracting in float32 as SAM3's code."""
        height, width = size_hw
        sides = np.array([width, height, width, height], np.float32)
        fractions = np.divide(np.asarray(boxes_xyxy, np.float32).reshape(-1, 4), sides, dtype=np.float32)
        fractions[:, 2:] -= fractions[:, :2]
        return cls(size_hw, tuple(masks), fractions, np.asarray(scores, np.float32))
