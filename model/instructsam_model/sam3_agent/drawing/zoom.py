"""What a zoom pair shows of a mask: a crop with its surroundings and one of itself, and where both are drawn.

Rules of the public agent; all numbers in floating-point arithmetic in its order, so that boxes are equal to the last
bit.

Notation:
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instructsam_model.draw import ImageArray
from instructsam_model.masks import Mask
from instructsam_model.sam3_agent.drawing.colors import NamedColor, farthest_color
from instructsam_model.sam3_agent.drawing.regions import region_of

GROWTH = 0.2
MIN_GROWTH_PX = 16
"""The box of a mask is enlarged by a fifth, at least by this, both sides together."""
CONTEXT_SHARE, ZOOM_SHARE = 0.05, 0.25
"""Largest shares of the crops that the mask covers, unless the image is too small."""

Box = tuple[float, float, float, float]
Size = tuple[int, int]


@dataclass(frozen=True)
class ZoomView:
    """The two crops of a zoom pair.

    Attributes:
        box_xyxy: of the mask, pixels; right and bottom are the first pixels outside.
        context_box_xyxy: crop with the surroundings, pixels; fractional, see `whole`.
        zoom_box_xyxy: crop of the mask.
        color: of the mask in the pair: that of the palette which differs most from the pixels of its box.
    """

    box_xyxy: Box
    context_box_xyxy: Box
    zoom_box_xyxy: Box
    color: NamedColor

    @property
    def context_size_wh(self) -> Size:
        """Width and height of the crop with the surroundings, in whole pixels."""
        return _size(self.context_box_xyxy)

    @property
    def zoom_size_wh(self) -> Size:
        """Width and height of the crop of the mask, in whole pixels."""
        return _size(self.zoom_box_xyxy)

    @property
    def side_by_side(self) -> bool:
        """Whether the crops stand side by side; otherwise that with the surroundings is on top."""
        width, height = self.context_size_wh
        return width < height


def zoom_view(image_rgb: ImageArray, mask: Mask) -> ZoomView:
    """Return the crops for one mask.

    Args:
        image_rgb: uint8 (H, W, 3).
        mask: bool (H, W).

    Raises:
        ValueError: the mask is empty or has another size than the image.
    """
    if mask.shape != image_rgb.shape[:2]:
        raise ValueError(f'mask: expected the size of the image, {image_rgb.shape[:2]}, got {mask.shape}')
    rows, columns = region_of(mask)
    box_xyxy = float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)
    area = int(np.count_nonzero(mask))
    image_wh = image_rgb.shape[1], image_rgb.shape[0]
    return ZoomView(
        box_xyxy=box_xyxy,
        context_box_xyxy=_crop(box_xyxy, area, image_wh, CONTEXT_SHARE),
        zoom_box_xyxy=_crop(box_xyxy, area, image_wh, ZOOM_SHARE),
        color=farthest_color(image_rgb[rows, columns]),
    )


def whole(box_xyxy: Box) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, as Pillow crops it."""
    left, top, right, bottom = (round(value) for value in box_xyxy)
    return left, top, right, bottom


def _size(box_xyxy: Box) -> Size:
    left, top, right, bottom = whole(box_xyxy)
    return right - left, bottom - top


def _crop(box_xyxy: Box, area: int, image_wh: Size, target_share: float) -> Box:
    """Return a crop around a box of which a mask covers a share, if the image is large enough."""
    left, top, right, bottom = box_xyxy
    width, height = _grown(right - left, image_wh[0]), _grown(bottom - top, image_wh[1])
    share = area / (width * height)
    if share > target_share:
        scale = (share / target_share) ** 0.5
        width, height = min(width * scale, image_wh[0]), min(height * scale, image_wh[1])
    x = _origin(left, right - left, width, image_wh[0])
    y = _origin(top, bottom - top, height, image_wh[1])
    return x, y, x + width, y + height


def _grown(side: float, limit: int) -> float:
    return min(side + max(GROWTH * side, MIN_GROWTH_PX), limit)


def _origin(start: float, side: float, crop_side: float, limit: int) -> float:
    """Return where a crop begins: centered on the box, shifted into the image."""
    shift = min(start, (crop_side - side) / 2)
    if start - shift + crop_side > limit:
        shift = start + crop_side - limit
    return start - shift
