"""Set of marks: masks filled and outlined over an image, each with its number.

Notation:
    H, W  height and width of the image, pixels
    N     number of masks
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from instructsam_model.draw import ImageArray, Rgb, blend_table, load_font
from instructsam_model.masks import Mask
from instructsam_model.sam3_agent.drawing.colors import Fractions, NamedColor, text_box_color, text_color
from instructsam_model.sam3_agent.drawing.labels import Point, TextStyle, place_labels, to_pixels
from instructsam_model.sam3_agent.drawing.regions import region_of

FILL_OPACITY = 0.15
TEXT_BOX_OPACITY = 0.8
TEXT_PAD_PT = 0.7
LINE_EXTENT = 'lp'
"""The box of a number is as high as these letters, so that all boxes of an image are equally high."""


def draw_marks(
    image_rgb: ImageArray, masks: Sequence[Mask], colors: Sequence[NamedColor], *, numbers: Sequence[int] | None = None
) -> ImageArray:
    """Draw masks in order, and their numbers on top.

    Args:
        image_rgb: uint8 (H, W, 3); not changed.
        masks: N of bool (H, W).
        colors: N.
        numbers: N; None: from 1.

    Returns:
        uint8 (H, W, 3), a new image; equal to the first if there are no masks.

    Raises:
        ValueError: a mask is empty or has another size than the image.
    """
    height, width = image_rgb.shape[:2]
    for mask in masks:
        if mask.shape != (height, width):
            raise ValueError(f'masks: expected the size of the image, {(height, width)}, got {mask.shape}')
    places = place_labels(masks)
    style = TextStyle.of((width, height))
    canvas = np.array(image_rgb, order='C')
    for mask, color in zip(masks, colors, strict=True):
        fill(canvas, mask, color.rgb)
        outline(canvas, mask, color.rgb, to_pixels(style.outline_width_pt))
    for number, place, color in zip(numbers or range(1, len(masks) + 1), places, colors, strict=True):
        write_number(canvas, str(number), place.final_xy, color.fractions, to_pixels(style.font_size_pt))
    return canvas


def fill(canvas: ImageArray, mask: Mask, color: Rgb) -> None:
    """Blend the pixels of a mask with a color, in place; holes stay as they are."""
    region = region_of(mask)
    part = canvas[region]
    blended = cv2.LUT(part, blend_table(color, FILL_OPACITY))
    cv2.copyTo(blended, np.ascontiguousarray(mask[region]).view(np.uint8), part)


def outline(canvas: ImageArray, mask: Mask, color: Rgb, width_px: float) -> None:
    """Draw the contours of a mask, those of holes too, in place."""
    rows, columns = region_of(mask)
    covered = np.ascontiguousarray(mask[rows, columns]).view(np.uint8)
    contours, _ = cv2.findContours(covered, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, round(width_px))
    # A smoothed single pixel would be too faint.
    line_type = cv2.LINE_AA if thickness > 1 else cv2.LINE_8
    cv2.drawContours(canvas, contours, -1, color, thickness, line_type, offset=(columns.start, rows.start))


def write_number(canvas: ImageArray, text: str, top_center_xy: Point, mask_color: Fractions, size_px: float) -> None:
    """Write a number on its box, in place; what does not fit into the image is cut off."""
    font = load_font(max(1, round(size_px)))
    pad_px = to_pixels(TEXT_PAD_PT)
    width_px = font.getlength(text)
    _, line_top, _, line_bottom = font.getbbox(LINE_EXTENT)
    left, top = top_center_xy[0] - width_px / 2, float(top_center_xy[1])
    box_xyxy = left - pad_px, top - pad_px, left + width_px + pad_px, top + line_bottom - line_top + pad_px
    x1, y1, x2, y2 = (round(value) for value in box_xyxy)
    part = canvas[max(0, y1) : max(0, y2 + 1), max(0, x1) : max(0, x2 + 1)]
    if not part.size:
        return
    ink_rgb = text_color(mask_color)
    drawing = Image.blend(
        Image.fromarray(part), Image.new('RGB', part.shape[1::-1], text_box_color(ink_rgb)), TEXT_BOX_OPACITY
    )
    ink = tuple(round(255 * component) for component in ink_rgb)
    origin_xy = left - max(0, x1), top - line_top - max(0, y1)
    ImageDraw.Draw(drawing).text(origin_xy, text, font=font, fill=ink)
    part[:] = np.asarray(drawing)
