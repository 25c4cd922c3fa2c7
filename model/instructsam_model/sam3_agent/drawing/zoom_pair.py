"""Zoom pair: one mask enlarged, beside a crop of its surroundings.

Notation:
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model.draw import WHITE_RGB, ImageArray, Rgb
from instructsam_model.masks import Mask
from instructsam_model.sam3_agent.drawing.labels import to_pixels
from instructsam_model.sam3_agent.drawing.marks import fill
from instructsam_model.sam3_agent.drawing.panels import Panel, lay_out
from instructsam_model.sam3_agent.drawing.zoom import Box, ZoomView, whole

LINE_WIDTH_PT = 2.0
BOX_OPACITY = 0.8
SUBPIXEL_BITS = 4
"""OpenCV draws lines between points in fractions of a pixel: so many bits."""


def draw_zoom_pair(image_rgb: ImageArray, mask: Mask, view: ZoomView) -> ImageArray:
    """Draw the surroundings of a mask with its box, and the mask enlarged with its contours.

    Args:
        image_rgb: uint8 (H, W, 3).
        mask: bool (H, W).
        view: of this mask in this image.

    Returns:
        uint8 (h, w, 3), on white; at most 610 x 450 pixels, see `panels`.
    """
    layout = lay_out(view.context_size_wh, view.zoom_size_wh, side_by_side=view.side_by_side)
    width, height = layout.size_wh
    canvas: ImageArray = np.full((height, width, 3), WHITE_RGB, np.uint8)
    context, zoom = layout.panels
    _show(canvas, image_rgb, view.context_box_xyxy, context)
    _draw_box(canvas, view, context)
    filled = np.array(image_rgb, order='C')
    fill(filled, mask, view.color.rgb)
    _show(canvas, filled, view.zoom_box_xyxy, zoom)
    _draw_contours(canvas, mask, view, zoom)
    return canvas


def _show(canvas: ImageArray, image_rgb: ImageArray, box_xyxy: Box, panel: Panel) -> None:
    """Draw a crop of an image into a panel."""
    target = _rectangle(canvas, panel)
    left, top, right, bottom = whole(box_xyxy)
    crop = image_rgb[top:bottom, left:right]
    height, width = target.shape[:2]
    method = cv2.INTER_AREA if width < crop.shape[1] else cv2.INTER_CUBIC
    target[:] = cv2.resize(crop, (width, height), interpolation=method)


def _rectangle(canvas: ImageArray, panel: Panel) -> ImageArray:
    """Return the pixels of a panel, at least one."""
    height, width = canvas.shape[:2]
    left, top = min(round(panel.x), width - 1), min(round(panel.y), height - 1)
    right, bottom = max(left + 1, round(panel.x + panel.width)), max(top + 1, round(panel.y + panel.height))
    return canvas[top:bottom, left:right]


def _draw_box(canvas: ImageArray, view: ZoomView, panel: Panel) -> None:
    """Draw the box of the mask into the panel of the surroundings."""
    left, top, right, bottom = view.box_xyxy
    corners_xy = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    drawn = canvas.copy()
    _draw_line(drawn, corners_xy, view.context_box_xyxy, panel, view.color.rgb)
    canvas[:] = cv2.addWeighted(drawn, BOX_OPACITY, canvas, 1 - BOX_OPACITY, 0)


def _draw_contours(canvas: ImageArray, mask: Mask, view: ZoomView, panel: Panel) -> None:
    """Draw the contours of the mask into its panel; those of holes too."""
    contours, _ = cv2.findContours(np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        # Contours run through the centers of pixels.
        _draw_line(canvas, contour[:, 0] + 0.5, view.zoom_box_xyxy, panel, view.color.rgb)


def _draw_line(canvas: ImageArray, points_xy: NDArray[np.floating], box_xyxy: Box, panel: Panel, color: Rgb) -> None:
    """Draw a closed line, given in pixels of the image, into the panel of a crop; it is cut off at the panel."""
    target = _rectangle(canvas, panel)
    left, top, right, bottom = whole(box_xyxy)
    scale_xy = target.shape[1] / (right - left), target.shape[0] / (bottom - top)
    in_panel = (points_xy - (left, top)) * scale_xy - 0.5  # (P, 2)
    fixed = np.rint(in_panel * (1 << SUBPIXEL_BITS)).astype(np.int32)
    thickness = round(to_pixels(LINE_WIDTH_PT))
    drawn = np.ascontiguousarray(target)
    cv2.polylines(drawn, [fixed], True, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    target[:] = drawn
