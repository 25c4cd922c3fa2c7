"""One instance of a raw release as a run-length encoding, whatever form the release gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from instructsam_model.masks import Rle, to_rle


def instance_rle(segmentation: Any, size_hw: tuple[int, int]) -> Rle:
    """The mask of one instance, with at least one pixel.

    Beyond what `to_rle` reads: a list of RLEs, whose union is the instance (RefCLEF), and polygons of fewer than three
    points among others (PartImageNet), which cover nothing and are left out.

    Raises:
        ValueError: the form is unknown or damaged, of another size, or covers no pixel.
    """
    if isinstance(segmentation, Sequence) and segmentation and all(isinstance(part, dict) for part in segmentation):
        rle = merge([to_rle(part, size_hw) for part in segmentation])
    else:
        rle = to_rle(_without_lines(segmentation), size_hw)
    if is_empty(rle):
        raise ValueError('mask: expected at least one pixel, it covers none')
    return rle


def box_rle(box_xywh: Any, size_hw: tuple[int, int]) -> Rle:
    """A filled box, cut at the borders of the picture, its edges at the nearest pixels.

    Args:
        box_xywh: left, top, width and height in pixels.
        size_hw: height and width of the picture.

    Raises:
        ValueError: it is not a box, or nothing of it lies in the picture.
    """
    left, top, width, height = _four_numbers(box_xywh)
    x1, y1, x2, y2 = (
        math.floor(edge + 0.5) for edge in clip_box((left, top, left + width, top + height), size_hw)
    )  # fmt: skip
    # A box thinner than a pixel still says where its target is.
    x1, y1 = min(x1, size_hw[1] - 1), min(y1, size_hw[0] - 1)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    rows = size_hw[0]
    column = [y2 - y1, rows - (y2 - y1)]
    runs = [x1 * rows + y1, *column * (x2 - x1)]
    runs[-1] = rows * size_hw[1] - sum(runs[:-1])
    return to_rle({'size': list(size_hw), 'counts': runs}, size_hw)


def clip_box(box_xyxy: Any, size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box, cut at the borders of the picture.

    Args:
        box_xyxy: left, top, right and bottom in pixels, right and bottom exclusive.
        size_hw: height and width of the picture.

    Raises:
        ValueError: it is not a box, or nothing of it lies in the picture.
    """
    x1, y1, x2, y2 = _four_numbers(box_xyxy)
    height, width = size_hw
    x1, x2 = (min(max(x, 0.0), float(width)) for x in (x1, x2))
    y1, y2 = (min(max(y, 0.0), float(height)) for y in (y1, y2))
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f'box: expected a part of the {width}x{height} picture, got {box_xyxy!r}')
    return x1, y1, x2, y2


def merge(rles: Sequence[Rle]) -> Rle:
    """What at least one of the masks covers."""
    merged = coco_mask.merge(list(rles))
    return Rle(size=list(rles[0]['size']), counts=merged['counts'].decode('ascii'))


def is_empty(rle: Rle) -> bool:
    """Whether the mask covers no pixel."""
    return int(coco_mask.area(rle)) == 0


def _without_lines(segmentation: Any) -> Any:
    """Polygons without those of fewer than three points; anything else as it is."""
    if not isinstance(segmentation, list) or not all(isinstance(part, list) for part in segmentation):
        return segmentation
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
