"""Where the numbers of masks are drawn, and how large: the rules of the public agent.

Notation:
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from instructsam_model.masks import Mask
from instructsam_model.sam3_agent.drawing.regions import region_of

MIN_FONT_SIZE = 15
PIXELS_PER_FONT_SIZE = 60
FONT_SCALE = 1.2
FONT_SIZE_PER_OUTLINE = 15
POINTS_PER_INCH, DOTS_PER_INCH = 72, 100

OFFSET_XY = (2, -6)
"""From the innermost pixel of a mask to its number."""
MOVE_PX = 15
SMALL_MASK_PX = 25
"""A number on a mask that is smaller than this in both directions is moved off it."""
MARGIN_PX = 20
"""Numbers are not moved nearer to the border than this."""
MAX_MOVES = 10

Point = tuple[int, int]


@dataclass(frozen=True)
class TextStyle:
    """Sizes for one size of images.

    Attributes:
        font_size_pt: of the numbers, points at 100 dots per inch.
        outline_width_pt: of the contours of masks, points.
    """

    font_size_pt: float
    outline_width_pt: float

    @classmethod
    def of(cls, size_wh: tuple[int, int]) -> TextStyle:
        """Return the sizes for images of a width and height in pixels."""
        width, height = size_wh
        font_size_pt = FONT_SCALE * max(int(np.sqrt(height * width)) // PIXELS_PER_FONT_SIZE, MIN_FONT_SIZE)
        return cls(font_size_pt, float(max(font_size_pt // FONT_SIZE_PER_OUTLINE, 1)))


def to_pixels(points: float) -> float:
    """Convert points to pixels of the drawing."""
    return points * DOTS_PER_INCH / POINTS_PER_INCH


@dataclass(frozen=True)
class LabelPlace:
    """Where a number is: its top center, pixels.

    Attributes:
        start_xy: on the mask.
        final_xy: after it was moved away from a small mask and from other numbers.
    """

    start_xy: Point
    final_xy: Point


def place_labels(masks: Sequence[Mask]) -> list[LabelPlace]:
    """Return the places of the numbers of masks (H, W) of one image, in order; each is moved away from those before it.

    Raises:
        ValueError: a mask is empty.
    """
    placed: set[Point] = set()
    places = []
    for mask in masks:
        start_xy = innermost(mask)
        final_xy = _move(start_xy, mask, placed)
        placed.add(final_xy)
        places.append(LabelPlace(start_xy, final_xy))
    return places


def innermost(mask: Mask) -> Point:
    """Return the start of a number: next to the pixel farthest from the border, of equal ones the middle one."""
    rows, columns = region_of(mask)
    # Around the region there is background; pixels outside of the image count as background too.
    padded = np.pad(mask[rows, columns].view(np.uint8), 1)
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.nonzero(distances == distances.max())  # in row-major order
    middle = len(y) // 2
    return int(x[middle]) + columns.start + OFFSET_XY[0], int(y[middle]) + rows.start + OFFSET_XY[1]


def _move(start_xy: Point, mask: Mask, placed: Iterable[Point]) -> Point:
    height, width = mask.shape
    position_xy = start_xy
    moves = MAX_MOVES
    if _is_small(mask):
        position_xy = _leave(start_xy[0], width), _leave(start_xy[1], height)
        moves -= 1
    for _ in range(moves):
        # The order is that of a set of tuples of integers: the same in every process.
        close = next((other for other in placed if _distance(position_xy, other) < MOVE_PX), None)
        if close is None:
            break
        position_xy = _away(position_xy[0], close[0], width), _away(position_xy[1], close[1], height)
    return position_xy


def _is_small(mask: Mask) -> bool:
    return all(side.stop - 1 - side.start < SMALL_MASK_PX for side in region_of(mask))


def _leave(position: int, size: int) -> int:
    """Return one coordinate of a number beside a small mask."""
    return position + MOVE_PX if position + MOVE_PX < size else position - MOVE_PX


def _distance(first: Point, second: Point) -> int:
    return abs(first[0] - second[0]) + abs(first[1] - second[1])


def _away(position: int, other: int, size: int) -> int:
    """Return one coordinate, moved away from another number unless it would come too near to the border."""
    moved = position + MOVE_PX if position >= other else position - MOVE_PX
    return moved if MARGIN_PX <= moved <= size - MARGIN_PX else position
