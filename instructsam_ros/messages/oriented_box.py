"""`OrientedBox`: a 3D box, as the pose and size of messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from numpy.typing import NDArray

from instructsam_ros.messages.geometry import Matrix, make_quaternion, read_pose


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
