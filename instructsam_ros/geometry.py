"""Where things are: cameras and poses as messages, pixels as points.

The middle of the first pixel is at (0, 0). Points are in the optical frame of REP-103: x right, y down, z forward.
"""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]


def make_camera_info(intrinsics: Matrix, size_wh: tuple[int, int], header: Header) -> CameraInfo:
    """The calibration of a camera without distortion, whose pictures are rectified as they are.

    Args:
        intrinsics: (3, 3), pixels.
        size_wh: of the pictures.
        header: of the picture.
    """
    width, height = size_wh
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=intrinsics.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([intrinsics, np.zeros((3, 1))]).ravel(),
    )


def read_intrinsics(message: CameraInfo) -> Matrix:
    """K, float64 (3, 3), pixels."""
    return np.array(message.k, dtype=np.float64).reshape(3, 3)


def make_transform(pose: Matrix, header: Header, child_frame_id: str) -> TransformStamped:
    """A pose (4, 4) of a frame in that of the header."""
    x, y, z = pose[:3, 3].tolist()
    transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(pose[:3, :3]))
    return TransformStamped(header=header, child_frame_id=child_frame_id, transform=transform)


def back_project(depth_m: NDArray[np.float32], mask: NDArray[np.bool_], intrinsics: Matrix) -> Points:
    """The points (N, 3) in metres that the pixels of a mask show; pixels without depth are left out."""
    rows, columns = np.nonzero(mask & np.isfinite(depth_m) & (depth_m > 0))
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ np.linalg.inv(intrinsics).T
    return np.asarray(rays * depth_m[rows, columns, None], dtype=np.float64)


def project(point_m: NDArray[np.float64], intrinsics: Matrix) -> tuple[float, float]:
    """The pixel x, y in which a point (3,) before the camera is seen."""
    x, y, z = (intrinsics @ point_m).tolist()
    return x / z, y / z


def _quaternion(rotation: Matrix) -> Quaternion:
    """Of a rotation matrix (3, 3), by way of its axis and angle, which are right for half a turn too."""
    turn = cv2.Rodrigues(rotation)[0].ravel()
    angle = float(np.linalg.norm(turn))
    x, y, z = (turn / 2 * np.sinc(angle / (2 * np.pi))).tolist()  # sin(angle / 2) along the axis, also for none
    return Quaternion(x=x, y=y, z=z, w=float(np.cos(angle / 2)))
