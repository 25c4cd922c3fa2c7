"""`OrientedBox`: the box around an instance in 3D, fitted to its visible surface.

Depth images show only the front of an object. A box ends where the points end, so it is too shallow where the back is
not visible: a ball seen at 30 degrees from the side has the right width and height, and three quarters of its depth.
Only upright boxes are extended, down to the surface that the object stands on.

Notation: N points of the object, M points around it, both (., 3) in meters.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from numpy.typing import NDArray

from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.geometry import Matrix, make_quaternion, read_pose

MIN_POINTS = 20
"""Fewer points do not make a box."""
MISSING_PX = 3
"""Pixels that a side lacks: one at each end that `VisibleSurface` removes, and half a pixel at each end."""
LEVEL_TOLERANCE_M = 0.005
"""Maximum difference in height between points of one horizontal surface."""
MIN_SUPPORT_FRACTION = 0.2
"""Minimum fraction of the points at the foot of an object that lie on its supporting surface."""
MIN_SUPPORT_POINTS = 10
FOOT_MARGIN_M = 0.02
"""Points up to this distance from an object, seen from above, are at its foot."""
FOOT_MARGIN_PX = 5
"""And this many pixels more, because `VisibleSurface` leaves a gap between an object and its surrounding points."""
FLOOR_QUANTILE = 0.02
"""Quantile of the heights of an object's points that counts as its lowest point."""

Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box of any orientation.

    Attributes:
        center_m: float64 (3,).
        rotation: float64 (3, 3), its columns are the axes of the box; right-handed.
        size_m: float64 (3,), lengths along those axes.
    """

    center_m: NDArray[np.float64]
    rotation: Matrix
    size_m: NDArray[np.float64]

    def moved(self, pose: Matrix) -> OrientedBox:
        """Return the box in another frame; `pose` (4, 4) is the pose of its present frame in that one."""
        rotation = pose[:3, :3]
        return OrientedBox(rotation @ self.center_m + pose[:3, 3], rotation @ self.rotation, self.size_m)

    @classmethod
    def read(cls, pose: Pose, size: Vector3) -> OrientedBox:
        """Return the box of a message."""
        matrix = read_pose(pose.position, pose.orientation)
        return cls(matrix[:3, 3], matrix[:3, :3], np.array((size.x, size.y, size.z)))

    def make_pose(self) -> Pose:
        """Return its center and axes."""
        x, y, z = self.center_m.tolist()
        return Pose(position=Point(x=x, y=y, z=z), orientation=make_quaternion(self.rotation))

    def make_size(self) -> Vector3:
        """Return its lengths."""
        x, y, z = self.size_m.tolist()
        return Vector3(x=x, y=y, z=z)


def fit_principal(surface: VisibleSurface) -> OrientedBox | None:
    """Return the box along the principal axes of the points, in the optical frame; None if there are too few points.

    x is the longest axis of the points and points right, z the shortest and points to the camera.
    """
    points_m = surface.points_m.astype(np.float64)
    if len(points_m) < MIN_POINTS:
        return None
    mean_m = points_m.mean(axis=0)
    axes = np.linalg.svd(np.cov((points_m - mean_m).T))[0]  # columns: longest axis first
    x, z = axes[:, 0], axes[:, 2]
    x, z = x * (1 if x[0] >= 0 else -1), z * (1 if z @ mean_m <= 0 else -1)
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    along_m = points_m @ rotation  # (N, 3), in box coordinates
    low_m, high_m = along_m.min(axis=0), along_m.max(axis=0)
    size_m = high_m - low_m + surface.point_spacing_m * np.array((MISSING_PX, MISSING_PX, 1))
    return OrientedBox(rotation @ ((low_m + high_m) / 2), rotation, size_m)


def fit_upright(surface: VisibleSurface, pose: Matrix) -> OrientedBox | None:
    """Return the box that is upright in a frame whose z points up, in the optical frame; None for too few points.

    z of the box is that of the frame; x is along the longer horizontal side, at most 90 degrees from the x of the
    frame. If a horizontal surface is visible at the foot of the object, the object is assumed to stand on it: the box
    extends down to it, and points of the mask that lie on it are ignored.

    Args:
        surface: visible surface of the object.
        pose: (4, 4), of the optical frame in the other frame.
    """
    if len(surface.points_m) < MIN_POINTS:
        return None
    points_m = _in_frame(surface.points_m, pose)
    # Bottom: the supporting surface if there is one, otherwise the lowest point.
    bottom_m = support_height(
        points_m,
        _in_frame(surface.surrounding_points_m, pose),
        FOOT_MARGIN_M + FOOT_MARGIN_PX * surface.point_spacing_m,
    )
    if bottom_m is None:
        bottom_m = float(points_m[:, 2].min())
    else:
        above = points_m[:, 2] > bottom_m + LEVEL_TOLERANCE_M
        if 2 * np.count_nonzero(above) >= len(above):  # otherwise the object is flat itself
            points_m = points_m[above]
    top_m = max(float(points_m[:, 2].max()), bottom_m + surface.point_spacing_m)
    # Horizontal sides: the smallest rectangle around the points, seen from above.
    (x, y), sides_m, degrees = cv2.minAreaRect(points_m[:, :2].astype(np.float32))
    long, short = sides_m
    if long < short:
        (long, short), degrees = (short, long), degrees + 90
    yaw = np.radians((degrees + 90) % 180 - 90)
    rotation = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    size_m = np.array((long, short, top_m - bottom_m)) + surface.point_spacing_m * np.array((MISSING_PX, MISSING_PX, 0))
    box = OrientedBox(np.array((x, y, (top_m + bottom_m) / 2)), rotation, size_m)
    return box.moved(np.asarray(np.linalg.inv(pose), dtype=np.float64))


def support_height(points_m: NDArray[np.float64], surroundings_m: NDArray[np.float64], reach_m: float) -> float | None:
    """Return the height of the horizontal surface on which an object stands; None if none is visible at its foot.

    An object in the air has no points at its foot: seen at an angle, the points below it in the image are far behind
    it. Seen straight from above this cannot be told, and the object is assumed to stand.

    Args:
        points_m: (N, 3), of the object, z up.
        surroundings_m: (M, 3), around it in the image.
        reach_m: maximum distance of points at its foot, seen from above.
    """
    # Points at the foot: inside the rectangle around the object, seen from above, plus the reach.
    (x, y), sides_m, degrees = cv2.minAreaRect(points_m[:, :2].astype(np.float32))
    yaw = np.radians(degrees)
    along_m = (surroundings_m[:, :2] - (x, y)) @ ((np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw)))
    at_foot_m = surroundings_m[(np.abs(along_m) <= np.array(sides_m) / 2 + reach_m).all(axis=1), 2]
    lowest_m = np.quantile(points_m[:, 2], FLOOR_QUANTILE)
    heights_m = np.sort(at_foot_m[at_foot_m < lowest_m + 2 * LEVEL_TOLERANCE_M])
    if len(heights_m) < MIN_SUPPORT_POINTS:
        return None
    # The height that has the most others within LEVEL_TOLERANCE_M above it.
    ends = np.searchsorted(heights_m, heights_m + LEVEL_TOLERANCE_M, side='right')
    counts = ends - np.arange(len(heights_m))
    start = int(counts.argmax())
    if counts[start] < MIN_SUPPORT_FRACTION * len(at_foot_m):
        return None
    return float(np.median(heights_m[start : ends[start]]))


def _in_frame(points_m: Points, pose: Matrix) -> NDArray[np.float64]:
    return np.asarray(points_m @ pose[:3, :3].T + pose[:3, 3], dtype=np.float64)
