"""Camera calibration, poses, and projection between pixels and points.

The center of the first pixel is at (0, 0). Points are in the optical frame of REP-103: x right, y down, z forward.

    intrinsics   float64 (3, 3), pixels; K of sensor_msgs/CameraInfo
    pose         float64 (4, 4), meters; maps points of the child frame to the parent frame
    depth_m      float32 (H, W), meters along z; 0 or NaN where unknown
    points_m     (N, 3) or (H, W, 3), meters
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
"""Row and column indices, each (N,)."""


def make_camera_info(intrinsics: Matrix, size_wh: tuple[int, int], header: Header) -> CameraInfo:
    """The calibration of a camera without distortion; raw and rectified images are the same.

    Args:
        intrinsics: (3, 3), pixels.
        size_wh: size of the images.
        header: of the image.
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
    """The camera matrix K, float64 (3, 3), pixels."""
    return np.array(message.k, dtype=np.float64).reshape(3, 3)


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


def back_project(depth_m: NDArray[np.float32], mask: NDArray[np.bool_], intrinsics: Matrix) -> Points:
    """The points (N, 3) in meters of the pixels of a mask that have depth."""
    rows, columns = np.nonzero(mask & np.isfinite(depth_m) & (depth_m > 0))
    # Homogeneous pixels (N, 3) times K^-1: rays with z = 1.
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ np.linalg.inv(intrinsics).T
    return np.asarray(rays * depth_m[rows, columns, None], dtype=np.float64)


def points_at(depth_m: NDArray[np.float32], pixels: Pixels, intrinsics: Matrix) -> NDArray[np.float32]:
    """The points (N, 3) in meters of N pixels of a camera without skew."""
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
    """Pixel coordinates x, y of a point (3,) in front of the camera."""
    x, y, z = (intrinsics @ point_m).tolist()
    return x / z, y / z


def _rays(pixels: NDArray[np.intp], intrinsics: Matrix, axis: int) -> NDArray[np.float32]:
    """The ratio x / z of columns (axis 0) or y / z of rows (axis 1)."""
    return np.asarray((pixels - intrinsics[axis, 2]) / intrinsics[axis, axis], dtype=np.float32)
