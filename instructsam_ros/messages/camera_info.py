"""CameraInfo messages: writer, and reader to a `CameraModel`.

As in image_geometry (PinholeCameraModel): a raw image has K and D, a rectified one P; points are in the rectified frame
for both, which differs from that of the sensor by R and by the translation in P; `roi` is in pixels of the full
resolution and shifts the principal point, `binning` divides both; zeros in `roi` and `binning` mean that they are not
used.
"""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.lens_distortion import CalibrationError, LensDistortion

ROTATION_TOLERANCE = 1e-3
"""Largest error of R times its transpose: calibration files have six digits or so."""

SizeWh = tuple[int, int]
Window = tuple[int, int, int, int]
"""x, y, width and height in pixels of the full resolution."""


def make_camera_info(intrinsics: Matrix, size_wh: SizeWh, header: Header) -> CameraInfo:
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


def image_size(info: CameraInfo) -> SizeWh:
    """Return width and height of the images that a calibration belongs to.

    `info.width` and `info.height` are those of the full sensor; a region of interest and binning make images smaller
    (sensor_msgs/CameraInfo).
    """
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)


def read_camera(info: CameraInfo, *, is_rectified: bool) -> CameraModel:
    """Return the camera of the raw or of the rectified images.

    Raises:
        CalibrationError: the message is not valid, or lacks what these images need.
    """
    window = _window(info)
    intrinsics = np.array(info.k, dtype=np.float64).reshape(3, 3)
    if not is_rectified and not _is_camera_matrix(intrinsics):
        raise _uncalibrated('K', 'raw')
    projection = _projection(info)
    pose = np.eye(4)
    if projection is not None:
        # The center of the camera in the frame for which P is valid: that of the first camera of a stereo pair.
        pose[:3, 3] = -np.linalg.inv(projection[:, :3]) @ projection[:, 3]
    if not is_rectified:
        pose[:3, :3] = _rotation(info)
        distortion = LensDistortion.read(info.distortion_model, info.d)
        return CameraModel(_of_window(intrinsics, info, window), image_size(info), distortion, pose)
    if projection is None:
        raise _uncalibrated('P', 'rectified')
    return CameraModel(_of_window(projection[:, :3], info, window), image_size(info), None, pose)


def _window(info: CameraInfo) -> Window:
    roi = info.roi
    x, y, width, height = roi.x_offset, roi.y_offset, roi.width, roi.height
    if not any((x, y, width, height)):
        return 0, 0, info.width, info.height
    if not (width and height and x + width <= info.width and y + height <= info.height):
        raise CalibrationError(
            f'camera_info has a roi of {width}x{height} at ({x}, {y}) in an image of {info.width}x{info.height}; '
            'expected one inside the image in pixels of the full resolution, or 0 everywhere for the whole image; '
            'correct the driver'
        )
    return x, y, width, height


def _projection(info: CameraInfo) -> Matrix | None:
    """Return P (3, 4); None if it is not set."""
    projection = np.array(info.p, dtype=np.float64).reshape(3, 4)
    if not projection.any():
        return None
    if not (_is_camera_matrix(projection[:, :3]) and np.isfinite(projection).all()):
        raise _uncalibrated('P', 'rectified')
    return projection


def _rotation(info: CameraInfo) -> Matrix:
    """Return R (3, 3), which drivers of single cameras may leave 0."""
    rotation = np.array(info.r, dtype=np.float64).reshape(3, 3)
    if not rotation.any():
        return np.eye(3)
    if not (np.abs(rotation @ rotation.T - np.eye(3)) <= ROTATION_TOLERANCE).all() or np.linalg.det(rotation) <= 0:
        raise CalibrationError(
            f'camera_info has {np.round(rotation, 4).tolist()} in R; expected a rotation matrix; calibrate the camera'
        )
    return rotation


def _is_camera_matrix(matrix: Matrix) -> bool:
    return bool(np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0 and (matrix[2] == (0, 0, 1)).all())


def _uncalibrated(name: str, kind: str) -> CalibrationError:
    return CalibrationError(
        f'camera_info has no focal length in {name}, which {kind} images need; calibrate the camera'
    )


def _of_window(matrix: Matrix, info: CameraInfo, window: Window) -> Matrix:
    """Return a camera matrix of the full resolution for images of a window with binning."""
    shift = np.array([[1.0, 0, -window[0]], [0, 1, -window[1]], [0, 0, 1]])
    scale = np.diag((1 / max(info.binning_x, 1), 1 / max(info.binning_y, 1), 1))
    return np.asarray(scale @ shift @ matrix)


def rectification_error_px(info: CameraInfo) -> float:
    """Return how far, at most, a pixel is from where it would be if the image were rectified; 0 if that is unknown.

    Raises:
        CalibrationError: as `read_camera`.
    """
    raw = read_camera(info, is_rectified=False)
    if _projection(info) is None:
        return 0.0
    rectified = read_camera(info, is_rectified=True)
    width, height = raw.size_wh
    grid = np.meshgrid(np.linspace(0, height - 1, 9).astype(np.intp), np.linspace(0, width - 1, 9).astype(np.intp))
    pixels = grid[0].ravel(), grid[1].ravel()
    points_m = raw.points_at(np.ones((height, width), dtype=np.float32), pixels).astype(np.float64)
    offsets = rectified.project(points_m) - np.stack([pixels[1], pixels[0]], axis=1)
    return float(np.nanmax(np.linalg.norm(offsets, axis=1), initial=0.0))
