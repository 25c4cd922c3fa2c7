"""The part of an image that a mask covers: drawing looks at nothing else, which matters in large images."""

from __future__ import annotations

from instructsam_model.masks import Mask, tight_box

Region = tuple[slice, slice]


def region_of(mask: Mask) -> Region:
    """Return the rows and columns from the first to the last pixel of a mask.

    Raises:
        ValueError: the mask is empty.
    """
    box_xyxy = tight_box(mask)
    if box_xyxy is None:
        raise ValueError('mask: expected at least one pixel, got an empty mask, which cannot be drawn')
    left, top, right, bottom = (int(value) for value in box_xyxy)
    return slice(top, bottom), slice(left, right)
