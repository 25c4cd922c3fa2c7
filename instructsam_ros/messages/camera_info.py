"""CameraInfo messages: writer, and reader to a `CameraModel`.

As in image_geometry (PinholeCameraModel): a raw image has K and D, a rectified one P; points are in the rectified frame
for both, which differs from that of the sensor by R and by the translation in P; `roi` is in pixels of the full
resolution and shifts the principal point, `binning` divides both; zeros in `roi` and `binning` mean that they are not
used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.lens_distortion import CalibrationError, LensDistortion

ROTATION_TOLERANCE = 1e-3
"""Largest error of R times its transpose: calibration files have six digits or so."""
RECTIFIED_WINDOW_TOLERANCE = 2
"""In pixels: the corners that image_geometry computes are less exact."""

Points = NDArray[np.float64]
SizeWh = tuple[int, int]
Window = tuple[int, int, int, int]
"""x, y, width and height in pixels of the full resolution."""


class SizeMismatchError(CalibrationError):
    """A calibration is for images of another size."""


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
    return _binned((info.roi.width or info.width, info.roi.height or info.height), info)


def read_camera(info: CameraInfo, *, is_rectified: bool, size_wh: SizeWh | None = None) -> CameraModel:
    """Return the camera of the raw or of the rectified images.

    The window of rectified images is that of raw ones, as in image_geometry, image_proc and its crop_decimate. If the
    image has another size and `do_rectify` is set, it is the window around the rectified corners of the raw one
    (REP-104, rectifyRoi of image_geometry).

    Args:
        info: calibration.
        is_rectified: whether the image is.
        size_wh: of the image; None for `image_size`.

    Raises:
        CalibrationError: the message is not valid, or lacks what these images need.
        SizeMismatchError: the calibration is for images of another size.
    """
    window = _read_window(info)
    full = _read_rectified(info) if is_rectified else _read_raw(info)
    size_wh = size_wh or image_size(info)
    tolerance = 0
    if size_wh != image_size(info) and is_rectified and info.roi.do_rectify:
        window, tolerance = _rectified_window(info, window), RECTIFIED_WINDOW_TOLERANCE
    found = _binned(window[2:], info)
    if np.abs(np.subtract(found, size_wh)).max() > tolerance:
        raise SizeMismatchError(
            f'camera_info is for {_describe(info, found)}, the image is {size_wh[0]}x{size_wh[1]}; expected that of '
            'the same camera and resolution'
        )
    # From pixels of the full resolution to those of the image.
    shift = np.array([[1.0, 0, -window[0]], [0, 1, -window[1]], [0, 0, 1]])
    scale = np.diag((1 / max(info.binning_x, 1), 1 / max(info.binning_y, 1), 1))
    return CameraModel(scale @ shift @ full.intrinsics, size_wh, full.distortion, full.pose)


def rectification_error_px(info: CameraInfo) -> float:
    """Return how far, at most, a pixel is from where it would be if the image were rectified; 0 if that is unknown.

    In pixels of the full resolution, at most the width of the image.

    Raises:
        CalibrationError: the calibration of raw images is not valid.
    """
    raw = _read_raw(info)
    if _projection(info) is None:
        return 0.0
    x, y, width, height = _read_window(info)
    columns, rows = (each.ravel() for each in np.meshgrid(np.linspace(x, x + width, 9), np.linspace(y, y + height, 9)))
    offsets = _rectify(raw, _read_rectified(info), columns, rows) - np.stack([columns, rows], axis=1)
    # The corners of a fisheye image may be far outside a rectified one.
    return min(float(np.nanmax(np.linalg.norm(offsets, axis=1), initial=0.0)), float(width))


def _read_raw(info: CameraInfo) -> CameraModel:
    """Return the camera of raw images of the full resolution."""
    intrinsics = np.array(info.k, dtype=np.float64).reshape(3, 3)
    _check_camera_matrix(intrinsics, 'K', 'raw')
    pose = _stereo_pose(_projection(info))
    pose[:3, :3] = _rotation(info)
    return CameraModel(intrinsics, (info.width, info.height), LensDistortion.read(info.distortion_model, info.d), pose)


def _read_rectified(info: CameraInfo) -> CameraModel:
    """Return the camera of rectified images of the full resolution."""
    projection = _projection(info)
    if projection is None:
        raise _uncalibrated('P', 'rectified')
    return CameraModel(projection[:, :3], (info.width, info.height), None, _stereo_pose(projection))


def _stereo_pose(projection: Matrix | None) -> Matrix:
    """Return the pose (4, 4) of a rectified camera in the frame for which P is valid.

    For the second camera of a stereo pair, that is the frame of the first one.
    """
    pose = np.eye(4)
    if projection is not None and projection[:, 3].any():
        pose[:3, 3] = -np.linalg.inv(projection[:, :3]) @ projection[:, 3]
    return pose


def _read_window(info: CameraInfo) -> Window:
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


def _rectified_window(info: CameraInfo, window: Window) -> Window:
    """Return the window around the rectified corners of a raw window."""
    x, y, width, height = window
    columns, rows = np.array((x, x + width, x + width, x)), np.array((y, y, y + height, y + height))
    corners = _rectify(_read_raw(info), _read_rectified(info), columns, rows)
    if not np.isfinite(corners).all():
        return window
    left, top = np.ceil(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.floor(corners.max(axis=0)).astype(int).tolist()
    return left, top, right - left, bottom - top


def _rectify(raw: CameraModel, rectified: CameraModel, columns: Points, rows: Points) -> Points:
    """Return the rectified pixel coordinates x, y (N, 2) of raw ones."""
    rays = raw.rays_through(rows, columns)
    points = np.column_stack([rays, np.ones(len(rays))]) @ raw.pose[:3, :3].T + raw.pose[:3, 3]
    return rectified.project(points)


def _binned(size_wh: SizeWh, info: CameraInfo) -> SizeWh:
    return size_wh[0] // max(info.binning_x, 1), size_wh[1] // max(info.binning_y, 1)


def _describe(info: CameraInfo, size_wh: SizeWh) -> str:
    """Return the size of images, and how it follows from the full resolution."""
    text = f'{size_wh[0]}x{size_wh[1]}'
    if size_wh == (info.width, info.height):
        return text
    roi, binning = f'{info.roi.width}x{info.roi.height}', f'{max(info.binning_x, 1)}x{max(info.binning_y, 1)}'
    return f'{text} (full resolution {info.width}x{info.height}, roi {roi}, binning {binning})'


def _projection(info: CameraInfo) -> Matrix | None:
    """Return P (3, 4); None if it is not set."""
    projection = np.array(info.p, dtype=np.float64).reshape(3, 4)
    if projection[0, 0] == projection[1, 1] == 0:
        return None
    _check_camera_matrix(projection[:, :3], 'P', 'rectified')
    if not np.isfinite(projection).all():
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


def _check_camera_matrix(matrix: Matrix, name: str, kind: str) -> None:
    """Raise CalibrationError for K or the first columns of P (3, 3) that are not the matrix of a camera."""
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.isfinite(matrix).all()):
        raise _uncalibrated(name, kind)
    if matrix[1, 0] != 0 or (matrix[2] != (0, 0, 1)).any():
        raise CalibrationError(
            f'camera_info has {matrix.tolist()} in {name}; expected [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; calibrate '
            'the camera, or correct the driver'
        )


def _uncalibrated(name: str, kind: str) -> CalibrationError:
    return CalibrationError(
        f'camera_info has no focal length in {name}, which {kind} images need; calibrate the camera'
    )
