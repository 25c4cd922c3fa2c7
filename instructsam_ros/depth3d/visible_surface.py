"""`VisibleSurface`: the depth points of one instance, without flying pixels and background.

Notation: H, W are the rows and columns of the image; h, w those of a window around an instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.geometry import Pixels

MAX_SLOPE = 8.0
"""Maximum change of depth, meters for each meter sideways: a surface that faces 83 degrees away from the camera."""
DEPTH_NOISE = 0.01
"""Smaller jumps, as a fraction of the distance, are noise: the depth resolution of stereo cameras at 2 m."""
MIN_COMPONENT_FRACTION = 0.25
"""Connected components with this fraction of the pixels of the largest are kept: an occluder may split an object."""
SURROUNDING_FRACTION = 0.15
"""Width of the surrounding band as a fraction of the longer side of the mask, at least `MIN_SURROUNDING_PX`."""
MIN_SURROUNDING_PX = 6

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class VisibleSurface:
    """The points of one instance that the camera sees.

    Depth cameras average across the outline of an object, which makes flying pixels between it and the background, and
    masks are a pixel or two too wide. Three filters, in this order: remove the outermost ring of pixels, unless it is
    more than half of the mask; of two neighbors with a jump in depth remove the farther one, which is a flying pixel
    or background; remove small connected components, such as background seen through a handle.

    Attributes:
        mask: bool (H, W), of the instance.
        depth_m: float32 (H, W), along the optical axis; NaN where unknown.
        camera: of the depth.
    """

    mask: Mask
    depth_m: NDArray[np.float32]
    camera: CameraModel

    @cached_property
    def pixels(self) -> Pixels:
        """Rows and columns, both (N,), of the pixels that pass the filters."""
        window = _window(self.mask, 0)
        depth_m = self.depth_m[window]
        known = self.mask[window] & np.isfinite(depth_m)  # (h, w)
        if not known.any():
            return _in_image(known, window)
        # 1. The outermost ring.
        inner = cv2.erode(known.view(np.uint8), _square(1), borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
        if 2 * np.count_nonzero(inner) >= np.count_nonzero(known):
            known = inner
        # 2. Jumps in depth: compare with the nearest depth of the 3x3 neighborhood.
        nearest_m = cv2.erode(np.where(known, depth_m, np.float32(np.inf)), _square(1))
        jump_m = np.float32(max(MAX_SLOPE * self.spacing, DEPTH_NOISE)) * depth_m
        known[known] = (depth_m - jump_m <= nearest_m)[known]
        # 3. Small components.
        return self.camera.with_rays(_in_image(_large_components(known), window))

    @cached_property
    def points_m(self) -> NDArray[np.float32]:
        """Points of those pixels in the optical frame, float32 (N, 3), meters."""
        return self.camera.points_at(self.depth_m, self.pixels)

    @cached_property
    def surrounding_points_m(self) -> NDArray[np.float32]:
        """Points of the pixels around the mask in the optical frame, float32 (M, 3), meters."""
        _, _, width, height = cv2.boundingRect(self.mask.view(np.uint8))
        reach = max(MIN_SURROUNDING_PX, round(SURROUNDING_FRACTION * max(width, height)))
        window = _window(self.mask, reach)
        mask = self.mask[window].view(np.uint8)
        # The first pixels outside a mask may belong to the object, or be flying pixels.
        surrounding = cv2.dilate(mask, _square(reach)) > cv2.dilate(mask, _square(2))
        pixels = _in_image(surrounding & np.isfinite(self.depth_m[window]), window)
        return self.camera.points_at(self.depth_m, self.camera.with_rays(pixels))

    @cached_property
    def point_spacing_m(self) -> float:
        """Distance between points of neighboring pixels on a surface that faces the camera, meters."""
        return float(np.median(self.depth_m[self.pixels])) * self.spacing

    @cached_property
    def spacing(self) -> float:
        """Distance between neighboring pixels at a depth of 1."""
        rows, columns = _window(self.mask, 0)
        return self.camera.spacing_at((rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2)


def _window(mask: Mask, margin: int) -> Window:
    """Return the smallest part of the image that contains the mask and a margin."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(0, top - margin), top + height + margin)
    return rows, slice(max(0, left - margin), left + width + margin)


def _in_image(pixels: Mask, window: Window) -> Pixels:
    rows, columns = np.nonzero(pixels)
    return rows + window[0].start, columns + window[1].start


def _square(reach: int) -> NDArray[np.uint8]:
    return np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)


def _large_components(pixels: Mask) -> Mask:
    _, components, statistics, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # background
    return np.asarray((areas >= max(1.0, MIN_COMPONENT_FRACTION * areas.max()))[components])
