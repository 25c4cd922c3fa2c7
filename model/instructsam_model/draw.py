"""Overlays: a segmentation drawn over its image.

Notation:
    H, W  height and width of the image, pixels
    N, M  numbers of boxes
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from instructsam_model.datatypes import Instance, Segmentation

Rgb = tuple[int, int, int]
ImageArray = NDArray[np.uint8]
Boxes = NDArray[np.int64]

PALETTE_RGB: tuple[Rgb, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
"""Okabe and Ito, "Color Universal Design" (2008), without black; suitable for all common kinds of color blindness."""

FILL_OPACITY = 0.42
STRIP_OPACITY = 0.72
DARK_RGB: Rgb = (24, 24, 27)
WHITE_RGB: Rgb = (255, 255, 255)
LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
MIN_LUMA_FOR_DARK_TEXT = 100
"""Luma of a color, 0..255, above which text on it is dark instead of white."""


@dataclass(frozen=True)
class _Style:
    """Sizes of the drawing for one image size, pixels.

    Attributes:
        text_px: size of the font.
        margin_px: space to the left and right of a line of text.
        line_height_px: height of a line of text with the space above and below it.
        outline_px: width of the contour.
        rim_px: width of the dark rim on either side of the contour; 0 if it would hide small objects.
    """

    text_px: int
    margin_px: int
    line_height_px: int
    outline_px: int
    rim_px: int

    @classmethod
    def of(cls, width: int, height: int) -> _Style:
        side = min(width, height)
        text_px = max(10, side // 42)
        return cls(
            text_px=text_px,
            margin_px=max(3, text_px // 2),
            line_height_px=round(1.6 * text_px),
            outline_px=max(1, round(side / 360)),
            rim_px=round(side / 900),
        )


def overlay(image_rgb: ImageArray, segmentation: Segmentation) -> ImageArray:
    """Draw every instance filled, outlined and labeled, with instruction and answer at the bottom.

    Args:
        image_rgb: uint8 (H, W, 3), the segmented image; not changed.
        segmentation: of this image.

    Returns:
        uint8 (H, W, 3), a new image.

    Raises:
        ValueError: the image is not uint8 (H, W, 3) of the segmentation's size.
    """
    width, height = segmentation.size_wh
    if image_rgb.shape != (height, width, 3) or image_rgb.dtype != np.uint8:
        raise ValueError(f'image_rgb: expected uint8 {(height, width, 3)}, got {image_rgb.dtype} {image_rgb.shape}')
    canvas = np.array(image_rgb, order='C')
    style = _Style.of(width, height)
    instances = segmentation.instances
    # The best instance is drawn last, so that it is on top where instances overlap.
    worst_first = [(instances[index], color_rgb(index)) for index in reversed(range(len(instances)))]
    for instance, color in worst_first:
        _fill(canvas, instance, color)
    for instance, color in worst_first:
        _outline(canvas, instance, color, style)
    strip_top = _draw_strip(canvas, _caption(segmentation), style)
    _draw_tags(canvas[:strip_top], instances, style)
    return canvas


def color_rgb(index: int) -> Rgb:
    """Return the color of instance `index`: the palette's seven, then pale tints of them, then again."""
    color = PALETTE_RGB[index % len(PALETTE_RGB)]
    if index // len(PALETTE_RGB) % 2 == 0:
        return color
    return (color[0] + 255) // 2, (color[1] + 255) // 2, (color[2] + 255) // 2


def _fill(canvas: ImageArray, instance: Instance, color: Rgb) -> None:
    rows, columns = _region(instance)
    region = canvas[rows, columns]
    mask = np.ascontiguousarray(instance.mask[rows, columns]).view(np.uint8)
    cv2.copyTo(cv2.LUT(region, blend_table(color, FILL_OPACITY)), mask, region)


def _outline(canvas: ImageArray, instance: Instance, color: Rgb, style: _Style) -> None:
    rows, columns = _region(instance)
    mask = np.ascontiguousarray(instance.mask[rows, columns]).view(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_TC89_KCOS)
    offset = (columns.start, rows.start)
    if style.rim_px:  # keeps the contour visible on a background of its own color
        rim_px = style.outline_px + 2 * style.rim_px
        cv2.drawContours(canvas, contours, -1, DARK_RGB, rim_px, cv2.LINE_AA, offset=offset)
    line_type = cv2.LINE_AA if style.outline_px > 1 else cv2.LINE_8  # a smoothed single pixel is too faint
    cv2.drawContours(canvas, contours, -1, color, style.outline_px, line_type, offset=offset)


def _region(instance: Instance) -> tuple[slice, slice]:
    """Return the rows and columns that the box covers."""
    left, top = np.floor(instance.box_xyxy[:2]).astype(int).tolist()
    right, bottom = np.ceil(instance.box_xyxy[2:]).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _draw_tags(canvas: ImageArray, instances: Sequence[Instance], style: _Style) -> None:
    height, width = canvas.shape[:2]
    boxes_xyxy = np.array([instance.box_xyxy for instance in instances], dtype=np.int64).reshape(-1, 4)
    # Tags are placed best instance first, (N, 4) in pixels; those not placed yet have no area.
    tags_xyxy = np.zeros_like(boxes_xyxy)
    inks: list[NDArray[np.uint8]] = []
    for index, instance in enumerate(instances):
        text = _shorten(_one_line(instance.label), f'{instance.score:.2f}', style.text_px, width - 2 * style.margin_px)
        inks.append(_text_opacity(text, style.text_px))
        tag_wh = min(inks[-1].shape[1] + 2 * style.margin_px, width), min(style.line_height_px, height)
        candidates_xyxy = _tag_candidates(boxes_xyxy[index], tag_wh, (width, height))
        others_xyxy = np.delete(boxes_xyxy, index, axis=0)
        # The candidate that hides least; other tags count four times as much as other boxes.
        hidden = 4 * _overlap(candidates_xyxy, tags_xyxy[:index]) + _overlap(candidates_xyxy, others_xyxy)
        tags_xyxy[index] = candidates_xyxy[hidden.argmin()]
    for index in reversed(range(len(instances))):  # the best instance last, so that its tag is on top
        left, top, right, bottom = tags_xyxy[index].tolist()
        color = color_rgb(index)
        tag = canvas[top:bottom, left:right]
        tag[:] = color
        text_rgb = DARK_RGB if np.dot(color, LUMINANCE) > MIN_LUMA_FOR_DARK_TEXT else WHITE_RGB
        _write(tag, inks[index], text_rgb, style.margin_px)


def _tag_candidates(box_xyxy: Boxes, tag_wh: tuple[int, int], image_wh: tuple[int, int]) -> Boxes:
    """Return possible tag boxes (8, 4), best first: at the corners of the box, shifted into the image."""
    x1, y1, x2, y2 = box_xyxy.tolist()
    width, height = tag_wh
    corners = [(left, top) for top in (y1 - height, y2, y1, y2 - height) for left in (x1, x2 - width)]
    left_top = np.clip(corners, 0, np.subtract(image_wh, tag_wh))
    return np.hstack([left_top, left_top + tag_wh])


def _overlap(boxes_xyxy: Boxes, others_xyxy: Boxes) -> NDArray[np.int64]:
    """Return by how many pixels each box (N, 4) overlaps the others (M, 4), summed over the others; (N,)."""
    first = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])  # (N, M, 2)
    last = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])  # (N, M, 2)
    covered: NDArray[np.int64] = np.maximum(last - first, 0).prod(axis=2).sum(axis=1)
    return covered


def _draw_strip(canvas: ImageArray, lines: Sequence[str], style: _Style) -> int:
    """Write as many lines as fit into the lower third of the image; return the first row of the strip."""
    height, width = canvas.shape[:2]
    count = min(len(lines), height // 3 // style.line_height_px)
    top: int = height - count * style.line_height_px
    if count:
        strip = canvas[top:]
        strip[:] = cv2.LUT(strip, blend_table(DARK_RGB, STRIP_OPACITY))
    for line, row_top in zip(lines, range(top, height, style.line_height_px), strict=False):
        text = _shorten(line, '', style.text_px, width - 2 * style.margin_px)
        row = canvas[row_top : row_top + style.line_height_px]
        _write(row, _text_opacity(text, style.text_px), WHITE_RGB, style.margin_px)
    return top


def _caption(segmentation: Segmentation) -> tuple[str, str]:
    """Return the lines at the bottom: the instruction; the generated text and the number of instances."""
    answer = _one_line(segmentation.text)
    count = len(segmentation.instances)
    found = f'{count} found' if count else 'nothing found'
    return _one_line(segmentation.instruction.text), f'{answer} \u00b7 {found}' if answer else found


def _one_line(text: str) -> str:
    return ' '.join(text.split())


def _write(region: ImageArray, ink: NDArray[np.uint8], color: Rgb, margin_px: int) -> None:
    """Draw text into a region, left-aligned and vertically centered; text that does not fit is cut off."""
    top = max(0, (region.shape[0] - ink.shape[0]) // 2)
    target = region[top : top + ink.shape[0], margin_px : margin_px + ink.shape[1]]
    opacity = ink[: target.shape[0], : target.shape[1], None].astype(np.uint16)
    target[:] = (target * (255 - opacity) + np.array(color, np.uint16) * opacity + 127) // 255


def blend_table(color: Rgb, opacity: float) -> NDArray[np.uint8]:
    """Return a lookup table for `cv2.LUT` that blends every channel value with `color`: uint8 (1, 256, 3)."""
    values = np.arange(256)[None, :, None]
    return (values * (1 - opacity) + np.array(color) * opacity + 0.5).astype(np.uint8)


@lru_cache(maxsize=64)
def _shorten(text: str, tail: str, text_px: int, width_px: int) -> str:
    """Return `text` and `tail` in at most `width_px`: the text is shortened, the tail is kept."""
    font = load_font(text_px)
    whole = f'{text}  {tail}'.strip()
    if font.getlength(whole) <= width_px:
        return whole
    ending = f'\u2026  {tail}'.rstrip()
    kept = bisect_right(range(len(text)), float(width_px), key=lambda count: font.getlength(text[:count] + ending)) - 1
    return text[:kept].rstrip() + ending if kept > 0 else tail


@lru_cache(maxsize=64)
def _text_opacity(text: str, text_px: int) -> NDArray[np.uint8]:
    """Render text in one line: opacity uint8 (h, w), 255 on strokes."""
    font = load_font(text_px)
    ascent, descent = font.getmetrics()
    canvas = Image.new('L', (max(1, ceil(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(canvas).text((0, 0), text, font=font, fill=255)
    return np.asarray(canvas)


@lru_cache(maxsize=8)
def load_font(text_px: int) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, or the font of Pillow, in a size in pixels."""
    try:
        return ImageFont.truetype('DejaVuSans.ttf', text_px)
    except OSError:
        # Pillow's built-in font is always available, but has little more than ASCII.
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(text_px))
