"""Instances of raw releases as run-length encodings: polygons, RLEs, lists of RLEs, and boxes.

Boxes are in float pixels: xywh is left, top, width, height; xyxy is left, top, right, bottom, the last two exclusive.
An RLE is COCO's: runs along columns, starting with background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle, to_rle


def instance_rle(segmentation: Any, size_hw: tuple[int, int]) -> Rle:
    """Parse the mask of one instance; it has at least one pixel.

    In addition to the forms of `to_rle`: a list of RLEs, whose union is the instance (RefCLEF), and polygons of fewer
    than three points among others (PartImageNet), which are ignored.

    Raises:
        ValueError: the form is unknown or damaged, the size differs, or the mask is empty.
    """
    if isinstance(segmentation, Sequence) and segmentation and all(isinstance(part, dict) for part in segmentation):
        rle = merge([to_rle(part, size_hw) for part in segmentation])
    else:
        rle = to_rle(_drop_degenerate_polygons(segmentation), size_hw)
    if is_empty(rle):
        raise ValueError('mask: expected at least one pixel, it covers none')
    return rle


def box_rle(box_xywh: Any, size_hw: tuple[int, int]) -> Rle:
    """Return a filled box, clipped to the image, with edges rounded to pixels.

    Args:
        box_xywh: left, top, width and height in pixels.
        size_hw: height and width of the image.

    Raises:
        ValueError: it is not a box, or it lies outside the image.
    """
    left, top, width, height = _four_numbers(box_xywh)
    x1, y1, x2, y2 = (
        math.floor(edge + 0.5) for edge in clip_box((left, top, left + width, top + height), size_hw)
    )  # fmt: skip
    # A box thinner than a pixel still locates its target: keep one pixel.
    x1, y1 = min(x1, size_hw[1] - 1), min(y1, size_hw[0] - 1)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    # Column-major runs: background up to the first corner, then (foreground, background) of each column of the box.
    rows = size_hw[0]
    column = [y2 - y1, rows - (y2 - y1)]
    runs = [x1 * rows + y1, *column * (x2 - x1)]
    runs[-1] = rows * size_hw[1] - sum(runs[:-1])
    return to_rle({'size': list(size_hw), 'counts': runs}, size_hw)


def clip_box(box_xyxy: Any, size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """Clip a box to the image.

    Args:
        box_xyxy: left, top, right and bottom in pixels, right and bottom exclusive.
        size_hw: height and width of the image.

    Raises:
        ValueError: it is not a box, or it lies outside the image.
    """
    x1, y1, x2, y2 = _four_numbers(box_xyxy)
    height, width = size_hw
    # xyxy; right and bottom may equal width and height, as they are exclusive.
    x1, x2 = (min(max(x, 0.0), float(width)) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), float(height)) for y in (y1, y2))
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f'box: expected a part of the {width}x{height} image, got {box_xyxy!r}')
    return x1, y1, x2, y2


def merge(rles: Sequence[Rle]) -> Rle:
    """Return the union of masks."""
    merged = coco_mask.merge(list(rles))
    return Rle(size=list(rles[0]['size']), counts=merged['counts'].decode('ascii'))


def is_empty(rle: Rle) -> bool:
    """Whether a mask has no pixel."""
    return int(coco_mask.area(rle)) == 0


def _drop_degenerate_polygons(segmentation: Any) -> Any:
    """Drop polygons of fewer than three points; return other forms unchanged."""
    # Only lists of polygons are filtered; the caller parses all other forms.
    if not isinstance(segmentation, list) or not all(isinstance(part, list) for part in segmentation):
        return segmentation
    # x and y of three points.
    polygons = [part for part in segmentation if len(part) >= 6]
    if not polygons:
        raise ValueError(f'polygons: expected one of at least three points, got {len(segmentation)} without')
    return polygons


def _four_numbers(box: Any) -> tuple[float, float, float, float]:
    try:
        numbers = [float(value) for value in box]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ValueError(f'box: expected four numbers, got {box!r}')
    return numbers[0], numbers[1], numbers[2], numbers[3]
