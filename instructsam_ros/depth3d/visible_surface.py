"""`VisibleSurface`: the depth points of one instance, without flying pixels and background."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.geometry import Pixels, points_at

STEEPEST = 8.0
"""Meters in depth for each meter sideways of a surface that is still measured: 83 degrees off facing the camera."""
NOISE = 0.01
"""Jumps of less than this share of the distance are noise: at 2 m, stereo cameras step so far."""
SECOND_PATCH = 0.25
"""Patches are kept that have this share of the pixels of the largest: what stands before a thing may cut it in two."""
BESIDE = 0.15
"""Pixels count as beside a thing up to this share of its longer side in the picture, but at least `BESIDE_PX`."""
BESIDE_PX = 6

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class VisibleSurface:
    """The side of one instance that the camera sees.

    Depth cameras average across the outline of a thing, so that points fly between it and what is behind, and masks
    are a pixel or two too wide. Three filters, in this order: the outermost ring of pixels goes, unless it is more than
    half of the mask; of two neighbors with a jump in depth between them the farther goes, which takes the flying
    pixels behind a thing and leaves its own edge; and of the patches that are left the small ones go, such as the
    background that is seen through a handle.

    Attributes:
        mask: bool (H, W), of the instance.
        depth_m: float32 (H, W), along the optical axis; NaN where unknown.
        intrinsics: float64 (3, 3), pixels.
    """

    mask: Mask
    depth_m: NDArray[np.float32]
    intrinsics: NDArray[np.float64]

    @cached_property
    def pixels(self) -> Pixels:
        """Rows and columns of the pixels that pass the filters."""
        window = _window(self.mask, 0)
        depth_m = self.depth_m[window]
        known = self.mask[window] & np.isfinite(depth_m)
        if not known.any():
            return _in_picture(known, window)
        inner = cv2.erode(known.view(np.uint8), _square(1), borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
        if 2 * np.count_nonzero(inner) >= np.count_nonzero(known):
            known = inner
        nearest_m = cv2.erode(np.where(known, depth_m, np.float32(np.inf)), _square(1))
        jump_m = np.float32(max(STEEPEST / self.intrinsics[0, 0], NOISE)) * depth_m
        known[known] = (depth_m - jump_m <= nearest_m)[known]
        return _in_picture(_large_patches(known), window)

    @cached_property
    def points_m(self) -> NDArray[np.float32]:
        """(N, 3), of those pixels in the optical frame, meters."""
        return points_at(self.depth_m, self.pixels, self.intrinsics)

    @cached_property
    def beside_m(self) -> NDArray[np.float32]:
        """(M, 3), of the pixels around the mask in the optical frame, meters: what the thing stands on, and others."""
        _, _, width, height = cv2.boundingRect(self.mask.view(np.uint8))
        reach = max(BESIDE_PX, round(BESIDE * max(width, height)))
        window = _window(self.mask, reach)
        mask = self.mask[window].view(np.uint8)
        # The first pixels beside a mask may still be the thing, or fly.
        beside = cv2.dilate(mask, _square(reach)) > cv2.dilate(mask, _square(2))
        return points_at(self.depth_m, _in_picture(beside & np.isfinite(self.depth_m[window]), window), self.intrinsics)

    @cached_property
    def step_m(self) -> float:
        """How far apart the points of neighboring pixels are that face the camera, meters."""
        return float(np.median(self.points_m[:, 2]) / self.intrinsics[0, 0])


def _window(mask: Mask, margin: int) -> Window:
    """The smallest part of the picture that holds the mask and a margin."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(0, top - margin), top + height + margin)
    return rows, slice(max(0, left - margin), left + width + margin)


def _in_picture(pixels: Mask, window: Window) -> Pixels:
    rows, columns = np.nonzero(pixels)
    return rows + window[0].start, columns + window[1].start


def _square(reach: int) -> NDArray[np.uint8]:
    return np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)


def _large_patches(pixels: Mask) -> Mask:
    _, patches, statistics, _ = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the pixels of none
    return np.asarray((areas >= max(1.0, SECOND_PATCH * areas.max()))[patches])
