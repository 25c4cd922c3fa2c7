"""Where things are: cameras and poses as messages, pixels as points.

The middle of the first pixel is at (0, 0). Points are in the optical frame of REP-103: x right, y down, z forward.
"""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import Point, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""


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
    transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=make_quaternion(pose[:3, :3]))
    return TransformStamped(header=header, child_frame_id=child_frame_id, transform=transform)


def make_quaternion(rotation: Matrix) -> Quaternion:
    """Of a rotation matrix (3, 3), by way of its axis and angle, which are right for half a turn too."""
    turn = cv2.Rodrigues(rotation)[0].ravel()
    angle = float(np.linalg.norm(turn))
    x, y, z = (turn / 2 * np.sinc(angle / (2 * np.pi))).tolist()  # sin(angle / 2) along the axis, also for none
    return Quaternion(x=x, y=y, z=z, w=float(np.cos(angle / 2)))


def read_pose(position: Point | Vector3, orientation: Quaternion) -> Matrix:
    """The matrix (4, 4) of a pose or transform."""
    axis = np.array((orientation.x, orientation.y, orientation.z))
    sine = float(np.linalg.norm(axis))
    turn = axis * (2 * np.arctan2(sine, orientation.w) / sine if sine else 0.0)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], (position.x, position.y, position.z)
    return pose


def back_project(depth_m: NDArray[np.float32], mask: NDArray[np.bool_], intrinsics: Matrix) -> Points:
    """The points (N, 3) in meters that the pixels of a mask show; pixels without depth are left out."""
    rows, columns = np.nonzero(mask & np.isfinite(depth_m) & (depth_m > 0))
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ np.linalg.inv(intrinsics).T
    return np.asarray(rays * depth_m[rows, columns, None], dtype=np.float64)


def points_at(depth_m: NDArray[np.float32], pixels: Pixels, intrinsics: Matrix) -> NDArray[np.float32]:
    """The points (N, 3) in meters of so many pixels of a camera without skew."""
    rows, columns = pixels
    z = depth_m[rows, columns]
    x, y = _rays(columns, intrinsics, 0) * z, _rays(rows, intrinsics, 1) * z
    return np.stack([x, y, z], axis=1)


def points_of_all(depth_m: NDArray[np.float32], intrinsics: Matrix) -> NDArray[np.float32]:
    """The points (H, W, 3) in meters of all pixels of a camera without skew."""
    height, width = depth_m.shape
    points_m = np.empty((height, width, 3), dtype=np.float32)
    np.multiply(depth_m, _rays(np.arange(width), intrinsics, 0), out=points_m[..., 0])
    np.multiply(depth_m, _rays(np.arange(height), intrinsics, 1)[:, None], out=points_m[..., 1])
    points_m[..., 2] = depth_m
    return points_m


def project(point_m: NDArray[np.float64], intrinsics: Matrix) -> tuple[float, float]:
    """The pixel x, y in which a point (3,) before the camera is seen."""
    x, y, z = (intrinsics @ point_m).tolist()
    return x / z, y / z


def _rays(pixels: NDArray[np.intp], intrinsics: Matrix, axis: int) -> NDArray[np.float32]:
    """Meters sideways for each meter forward, of columns (axis 0) or rows (1)."""
    return np.asarray((pixels - intrinsics[axis, 2]) / intrinsics[axis, axis], dtype=np.float32)
