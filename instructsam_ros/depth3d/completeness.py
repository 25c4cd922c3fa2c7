"""How much of an object the camera has seen: of the surface of its 3D box, and of the outline of its mask.

Notation: h, w are the rows and columns of a window around an instance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_ros.depth3d.visible_surface import DEPTH_NOISE, VisibleSurface
from instructsam_ros.messages.oriented_box import OrientedBox

MAX_CELLS = 16
"""Cells along one side of a face of the box."""
CELL_PX = 3.0
"""Minimum length of a cell in pixels, so that a face that is seen has no empty cells."""
GAP_PX = 4
"""Distance of the pixels around an object from its surface, of which `VisibleSurface` has removed one or two."""
MAX_SLOPE = 3.0
"""Maximum change of depth around an object, meters for each meter sideways: a table seen at 18 degrees."""


def completeness(surface: VisibleSurface, box: OrientedBox) -> float:
    """Return the share of the surface of a box that the camera has seen, 0 to 1; at most about 0.5 from one viewpoint.

    It is the area of the faces toward the camera that visible points cover, divided by the area of all six, times the
    share of the outline where the object is seen to end: not at something nearer, and not at the border of the image.

    Args:
        surface: visible surface of the object.
        box: in the same frame.
    """
    if not surface.points_m.size:
        return 0.0
    return _covered_share(surface, box) * _share_of_true_outline(surface)


def _covered_share(surface: VisibleSurface, box: OrientedBox) -> float:
    """Return the covered area of the faces toward the camera, as a share of the area of all six."""
    # Coordinates along the axes of the box, 0 to 1 inside, of the points (N, 3) and of the camera (3,).
    points = (surface.points_m - box.center_m) @ box.rotation / box.size_m + 0.5
    camera = (surface.camera.pose[:3, 3] - box.center_m) @ box.rotation / box.size_m + 0.5
    cells = np.clip(box.size_m / (CELL_PX * surface.point_spacing_m), 1, MAX_CELLS).astype(int)
    indices = np.clip((points * cells).astype(int), 0, cells - 1)
    covered_m2 = 0.0
    for axis in range(3):
        if 0 <= camera[axis] <= 1:
            continue  # both faces are seen from behind
        first, second = (axis + 1) % 3, (axis + 2) % 3
        is_covered = np.zeros((cells[first], cells[second]), dtype=np.uint8)
        is_covered[indices[:, first], indices[:, second]] = 1
        # A surface that faces away has fewer points than cells.
        is_covered = cv2.morphologyEx(is_covered, cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8))
        covered_m2 += is_covered.mean() * box.size_m[first] * box.size_m[second]
    x, y, z = box.size_m
    return float(covered_m2 / (2 * (x * y + y * z + z * x)))


def _share_of_true_outline(surface: VisibleSurface) -> float:
    """Return the share of pixels around the object that do not hide a part of it; unknown depth does not count."""
    left, top, width, height = cv2.boundingRect(surface.mask.view(np.uint8))
    inside = np.s_[top : top + height, left : left + width]
    around = np.s_[max(0, top - GAP_PX) : top + height + GAP_PX, max(0, left - GAP_PX) : left + width + GAP_PX]
    # Windows (h, w) with a margin, which is 0 beyond the border of the image: nearer than everything.
    size_hw = height + 2 * GAP_PX, width + 2 * GAP_PX
    start = max(0, GAP_PX - top), max(0, GAP_PX - left)
    mask, is_surface = np.zeros(size_hw, dtype=np.bool_), np.zeros(size_hw, dtype=np.uint8)
    depth_m = np.zeros(size_hw, dtype=np.float32)
    known_m = surface.depth_m[around]
    depth_m[start[0] : start[0] + known_m.shape[0], start[1] : start[1] + known_m.shape[1]] = known_m
    mask[GAP_PX:-GAP_PX, GAP_PX:-GAP_PX] = surface.mask[inside]
    rows, columns = surface.pixels
    is_surface[rows - top + GAP_PX, columns - left + GAP_PX] = 1
    ring = cv2.dilate(is_surface, _square(GAP_PX)) > cv2.dilate(is_surface, _square(GAP_PX - 1))
    ring &= ~mask & np.isfinite(depth_m)
    if not ring.any():
        return 1.0
    nearest_m = cv2.erode(np.where(is_surface, depth_m, np.float32(np.inf)), _square(GAP_PX))
    is_hidden = depth_m < nearest_m * (1 - max(MAX_SLOPE * GAP_PX * surface.spacing, DEPTH_NOISE))
    return 1.0 - np.count_nonzero(is_hidden & ring) / np.count_nonzero(ring)


def _square(reach: int) -> NDArray[np.uint8]:
    return np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
