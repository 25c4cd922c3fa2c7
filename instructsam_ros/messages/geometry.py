"""Poses as matrices and as messages.

pose   float64 (4, 4), meters; maps points of the child frame to the parent frame
"""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import Point, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Row and column indices, each (N,)."""


def make_transform(pose: Matrix, header: Header, child_frame_id: str) -> TransformStamped:
    """The transform of a child frame whose pose (4, 4) is given in the frame of the header."""
    x, y, z = pose[:3, 3].tolist()
    transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=make_quaternion(pose[:3, :3]))
    return TransformStamped(header=header, child_frame_id=child_frame_id, transform=transform)


def make_quaternion(rotation: Matrix) -> Quaternion:
    """The quaternion of a rotation matrix (3, 3)."""
    # The rotation vector is well-defined for rotations by 180 degrees, where formulas on the trace are not.
    rotation_vector = cv2.Rodrigues(rotation)[0].ravel()
    angle = float(np.linalg.norm(rotation_vector))
    # axis * sin(angle / 2), without a division by zero for the identity: np.sinc(t) is sin(pi t) / (pi t).
    x, y, z = (rotation_vector / 2 * np.sinc(angle / (2 * np.pi))).tolist()
    return Quaternion(x=x, y=y, z=z, w=float(np.cos(angle / 2)))


def read_pose(position: Point | Vector3, orientation: Quaternion) -> Matrix:
    """The matrix (4, 4) of a pose or a transform."""
    axis = np.array((orientation.x, orientation.y, orientation.z))
    sine = float(np.linalg.norm(axis))
    rotation_vector = axis * (2 * np.arctan2(sine, orientation.w) / sine if sine else 0.0)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(rotation_vector)[0], (position.x, position.y, position.z)
    return pose
