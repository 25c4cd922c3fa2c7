"""`OrientedBox`: the box around an instance in 3D, fitted to the side of it that depth shows.

Depth sees only the front of a thing. A box ends where the points end, so it is too shallow where nothing shows how far
back the thing goes: a ball seen at 30 degrees from the side has the right width and height, and three quarters of its
depth. The one thing that is added is what is under an upright box, down to the surface that the thing stands on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from numpy.typing import NDArray

from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.geometry import Matrix, make_quaternion, read_pose

FEWEST_POINTS = 20
"""Of fewer points no box is made."""
RING_PX = 3
"""A side lacks as many pixels: those that `VisibleSurface` takes off at both ends, and two half ones."""
LEVEL_M = 0.005
"""Points whose heights differ by less may belong to one level surface."""
SUPPORT = 0.2
"""Share of the points at the foot of a thing that are on what it stands on, at least."""
FEWEST_SUPPORT_POINTS = 10
FOOT_M = 0.02
"""Points so far around a thing, seen from above, are at its foot."""
FOOT_PX = 5
"""And so many pixels more: between the points of a thing and what is beside it `VisibleSurface` leaves a gap."""
LOWEST = 0.02
"""Share of a thing's points that may be lower than what counts as its lowest point."""

Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box that is turned.

    Attributes:
        center_m: (3,).
        rotation: (3, 3), its columns are the axes of the box; right-handed.
        size_m: (3,), lengths along those axes.
    """

    center_m: NDArray[np.float64]
    rotation: Matrix
    size_m: NDArray[np.float64]

    def moved(self, pose: Matrix) -> OrientedBox:
        """The same box in another frame, in which `pose` (4, 4) is the frame that it is in now."""
        rotation = pose[:3, :3]
        return OrientedBox(rotation @ self.center_m + pose[:3, 3], rotation @ self.rotation, self.size_m)

    @classmethod
    def read(cls, pose: Pose, size: Vector3) -> OrientedBox:
        """The box of a message."""
        matrix = read_pose(pose.position, pose.orientation)
        return cls(matrix[:3, 3], matrix[:3, :3], np.array((size.x, size.y, size.z)))

    def make_pose(self) -> Pose:
        """Its center and axes."""
        x, y, z = self.center_m.tolist()
        return Pose(position=Point(x=x, y=y, z=z), orientation=make_quaternion(self.rotation))

    def make_size(self) -> Vector3:
        """Its lengths."""
        x, y, z = self.size_m.tolist()
        return Vector3(x=x, y=y, z=z)


def fit_principal(surface: VisibleSurface) -> OrientedBox | None:
    """The box along the principal axes of the points, in the optical frame; None of too few points.

    x is the longest axis of the points and points right, z the shortest and points to the camera, as a hand would come.
    """
    points_m = surface.points_m.astype(np.float64)
    if len(points_m) < FEWEST_POINTS:
        return None
    middle_m = points_m.mean(axis=0)
    axes = np.linalg.svd(np.cov((points_m - middle_m).T))[0]  # its columns, the longest first
    x, z = axes[:, 0], axes[:, 2]
    x, z = x * (1 if x[0] >= 0 else -1), z * (1 if z @ middle_m <= 0 else -1)
    rotation = np.stack([x, np.cross(z, x), z], axis=1)
    along_m = points_m @ rotation
    low_m, high_m = along_m.min(axis=0), along_m.max(axis=0)
    size_m = high_m - low_m + surface.step_m * np.array((RING_PX, RING_PX, 1))
    return OrientedBox(rotation @ ((low_m + high_m) / 2), rotation, size_m)


def fit_upright(surface: VisibleSurface, pose: Matrix) -> OrientedBox | None:
    """The box that stands upright in a frame whose z is up, in the optical frame; None of too few points.

    z of the box is that of the frame, x is along the longer of the two level sides, at most a quarter turn from the x
    of the frame. Where a level surface is seen at the foot of the thing, the thing is taken to stand on it: the box
    reaches down to there, and points of the mask on it are left out.

    Args:
        surface: what is seen of the thing.
        pose: (4, 4), of the optical frame in the other one.
    """
    if len(surface.points_m) < FEWEST_POINTS:
        return None
    points_m = _in_frame(surface.points_m, pose)
    bottom_m = support_height(points_m, _in_frame(surface.beside_m, pose), FOOT_M + FOOT_PX * surface.step_m)
    if bottom_m is None:
        bottom_m = float(points_m[:, 2].min())
    else:
        above = points_m[:, 2] > bottom_m + LEVEL_M
        if 2 * np.count_nonzero(above) >= len(above):  # else it is as flat as what it lies on
            points_m = points_m[above]
    top_m = max(float(points_m[:, 2].max()), bottom_m + surface.step_m)
    (x, y), sides_m, degrees = cv2.minAreaRect(points_m[:, :2].astype(np.float32))
    long, short = sides_m
    if long < short:
        (long, short), degrees = (short, long), degrees + 90
    turn = np.radians((degrees + 90) % 180 - 90)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    size_m = np.array((long, short, top_m - bottom_m)) + surface.step_m * np.array((RING_PX, RING_PX, 0))
    box = OrientedBox(np.array((x, y, (top_m + bottom_m) / 2)), rotation, size_m)
    return box.moved(np.asarray(np.linalg.inv(pose), dtype=np.float64))


def support_height(points_m: NDArray[np.float64], beside_m: NDArray[np.float64], reach_m: float) -> float | None:
    """The height of the level surface on which a thing stands; None if none is seen at its foot.

    What hangs in the air has nothing at its foot: seen at an angle, what is below it in the picture is far behind it.
    Seen straight from above nobody can tell, and it is taken to stand.

    Args:
        points_m: (N, 3), of the thing, z up.
        beside_m: (M, 3), of what is around it in the picture.
        reach_m: how far around it is its foot, seen from above.
    """
    (x, y), sides_m, degrees = cv2.minAreaRect(points_m[:, :2].astype(np.float32))
    turn = np.radians(degrees)
    along_m = (beside_m[:, :2] - (x, y)) @ ((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn)))
    at_foot_m = beside_m[(np.abs(along_m) <= np.array(sides_m) / 2 + reach_m).all(axis=1), 2]
    lowest_m = np.quantile(points_m[:, 2], LOWEST)
    heights_m = np.sort(at_foot_m[at_foot_m < lowest_m + 2 * LEVEL_M])
    if len(heights_m) < FEWEST_SUPPORT_POINTS:
        return None
    ends = np.searchsorted(heights_m, heights_m + LEVEL_M, side='right')
    counts = ends - np.arange(len(heights_m))
    start = int(counts.argmax())
    if counts[start] < SUPPORT * len(at_foot_m):
        return None
    return float(np.median(heights_m[start : ends[start]]))


def _in_frame(points_m: Points, pose: Matrix) -> NDArray[np.float64]:
    return np.asarray(points_m @ pose[:3, :3].T + pose[:3, 3], dtype=np.float64)
