"""Which of SAM3's masks the model sees, and in which order.

Notation:
    N  masks
    IoM  intersection of two masks over the area of the smaller one
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsam_model.masks import Mask, encode_rle, tight_box
from instructsam_model.sam3_agent.core.detections import Detections

MAX_IOM = np.float32(0.3)
"""A mask that overlaps one of a higher score by more is dropped."""
MIN_COUNTS_CHARS = 5
"""`strict`: masks with shorter compressed counts are dropped: empty ones in images below 524,288 pixels, and in tiny
images some that are not empty."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """What is left of SAM3's masks.

    Attributes:
        detections: best score first.
        kept: indices into SAM3's masks that no better mask overlaps, ascending; None for fewer than two masks.
        removed: the other indices; None for fewer than two masks.
    """

    detections: Detections
    kept: list[int] | None
    removed: list[int] | None


def postprocess(found: Detections, strict: bool) -> Filtered:
    """Remove overlapping and empty masks, and sort by score.

    Args:
        found: SAM3's masks in its order.
        strict: use the length of the encoding in place of the area to find empty masks, after the rest.
    """
    if not strict:
        found = found.take([index for index, mask in enumerate(found.masks) if mask.any()])
    kept = removed = None
    left = found
    if len(found) > 1:
        kept = keep_apart(iom_matrix(found), found.scores)
        removed = [index for index in range(len(found)) if index not in set(kept)]
        left = found.take(kept)
    order: list[int] = np.argsort(-left.scores, kind='stable').tolist()
    left = left.take(order)
    if strict:
        long = [len(encode_rle(mask)['counts']) >= MIN_COUNTS_CHARS for mask in left.masks]
        left = left.take([index for index, is_long in enumerate(long) if is_long])
    return Filtered(left, kept, removed)


def iom_matrix(found: Detections) -> NDArray[np.float32]:
    """Return the IoM of each two masks, float32 (N, N); 0 for empty ones."""
    boxes_xyxy = np.array([_box(mask) for mask in found.masks], np.int64).reshape(-1, 4)
    # Most masks are far from each other: only where boxes overlap pixels are counted.
    starts = np.maximum(boxes_xyxy[:, None, :2], boxes_xyxy[None, :, :2])  # (N, N, 2)
    ends = np.minimum(boxes_xyxy[:, None, 2:], boxes_xyxy[None, :, 2:])
    intersections = np.zeros((len(found), len(found)), np.float32)
    for one, other in np.argwhere(np.triu((starts < ends).all(axis=2))).tolist():
        (x1, y1), (x2, y2) = starts[one, other], ends[one, other]
        shared = found.masks[one][y1:y2, x1:x2] & found.masks[other][y1:y2, x1:x2]
        intersections[one, other] = intersections[other, one] = np.count_nonzero(shared)
    areas = np.diagonal(intersections)
    smaller = np.maximum(np.minimum(areas[:, None], areas[None]), np.float32(1))
    iom: NDArray[np.float32] = intersections / (smaller + np.float32(1e-8))
    return iom


def _box(mask: Mask) -> list[int]:
    """Return the extents of a mask, x1, y1, x2, y2; zeros for an empty one."""
    box_xyxy = tight_box(mask)
    return [0, 0, 0, 0] if box_xyxy is None else [int(value) for value in box_xyxy]


def keep_apart(iom: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """Return the masks that remain if each one removes those of lower scores that it overlaps, ascending.

    Both sides are compared in float32: of 10 pixels, 3 may overlap.

    Args:
        iom: float32 (N, N).
        scores: float32 (N,); of equal ones the first mask is better.
    """
    kept: list[int] = []
    for index in np.argsort(-scores, kind='stable').tolist():
        if not (iom[index, kept] > MAX_IOM).any():
            kept.append(index)
    return sorted(kept)
