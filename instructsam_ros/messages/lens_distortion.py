"""`LensDistortion`: the distortion models of sensor_msgs/CameraInfo.

Notation: normalized coordinates are x / z and y / z of a point in the frame of the sensor; N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model import FrameError

POLYNOMIAL_COUNTS = (4, 5, 8, 12, 14)
"""Numbers of coefficients that OpenCV has names for: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y."""
FISHEYE_COUNTS = (4,)
POLYNOMIAL_NAMES = ('plumb_bob', 'rational_polynomial', 'radtan', 'brown_conrady')
"""Names of OpenCV's polynomial model in sensor_msgs, Kalibr and librealsense."""
FISHEYE_NAMES = ('equidistant', 'fisheye', 'kannala_brandt', 'kannala_brandt4')
"""Names of the model of Kannala and Brandt (2006), as cv::fisheye implements it."""
NO_DISTORTION_NAMES = ('', 'none', 'no_distortion', 'pinhole', 'perspective', 'rectilinear')
OTHER_POLYNOMIAL_NAMES = ('inverse_brown_conrady', 'modified_brown_conrady')
"""Models of librealsense that are the identity if all coefficients are 0. With others they are refused: librealsense
itself has changed what they mean (librealsense pull request 8753)."""
ITERATIONS = 40
TOLERANCE = 1e-5
"""Largest error of an inversion in normalized coordinates: a hundredth of a pixel at a focal length of 1000."""

Points2D = NDArray[np.float64]


class CalibrationError(FrameError):
    """A CameraInfo message is not valid."""


@dataclass(frozen=True)
class LensDistortion:
    """How a lens moves normalized coordinates.

    Attributes:
        coefficients: in the order of OpenCV.
        is_fisheye: the model is that of cv::fisheye, otherwise that of cv::projectPoints.
    """

    coefficients: tuple[float, ...]
    is_fisheye: bool = False

    @classmethod
    def read(cls, name: str, coefficients: Sequence[float]) -> LensDistortion | None:
        """Return the distortion of `distortion_model` and `d` of a CameraInfo; None for a lens without distortion.

        As in image_geometry, the number of coefficients says which of the polynomial models it is, and an empty `d` is
        no distortion.

        Raises:
            CalibrationError: the name or the number of coefficients is unknown, or they are not finite.
        """
        d = np.array(coefficients, dtype=np.float64)
        if not np.isfinite(d).all():
            raise CalibrationError(f'camera_info has d {d.tolist()}; expected finite numbers; calibrate the camera')
        key = name.strip().lower().replace('-', '_').replace(' ', '_')
        if key in FISHEYE_NAMES:
            return cls(_sized(d, FISHEYE_COUNTS, name), is_fisheye=True) if d.size else None
        if key in POLYNOMIAL_NAMES:
            return cls(_sized(d, POLYNOMIAL_COUNTS, name)) if d.any() else None
        if key in (*NO_DISTORTION_NAMES, *OTHER_POLYNOMIAL_NAMES) and not d.any():
            return None
        raise CalibrationError(
            f"camera_info has distortion_model '{name}' with {d.size} coefficients; expected plumb_bob, "
            'rational_polynomial or equidistant, or coefficients that are all 0; rectify the images with image_proc '
            'and set depth.rectified to rectified, or calibrate with one of these models'
        )

    def distort(self, points: Points2D) -> Points2D:
        """Return where points (N, 2) in normalized coordinates appear, (N, 2)."""
        if not len(points):
            return points
        if self.is_fisheye:
            seen = cv2.fisheye.distortPoints(points[:, None], np.eye(3), np.array(self.coefficients))
            return np.asarray(seen[:, 0], dtype=np.float64)
        # cv::projectPoints computes derivatives too, which need 350 MB for an image of 1280x720.
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, *tilt = (*self.coefficients, *[0.0] * 14)[:14]
        x, y = points.T
        r2 = x**2 + y**2
        radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        distorted: Points2D = np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + r2 * (s1 + r2 * s2),
                y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y**2) + r2 * (s3 + r2 * s4),
            ],
            axis=1,
        )
        return _tilted(distorted, *tilt) if any(tilt) else distorted

    def undistort(self, points: Points2D) -> Points2D:
        """Invert `distort`; NaN where the model reaches no such point."""
        if not len(points):
            return points
        d = np.array(self.coefficients)
        if self.is_fisheye:
            found = np.asarray(cv2.fisheye.undistortPoints(points[:, None], np.eye(3), d)[:, 0], dtype=np.float64)
        else:
            found = _undistort_polynomial(points, d)
        with np.errstate(all='ignore'):  # where the inversion has failed
            is_inverse = np.abs(self.distort(found) - points).max(axis=1) <= TOLERANCE
        return np.where(is_inverse[:, None], found, np.nan)


def _sized(d: Points2D, counts: tuple[int, ...], name: str) -> tuple[float, ...]:
    """Return the coefficients without zeros that some drivers append."""
    fitting = [count for count in counts if count <= d.size and not d[count:].any()]
    if not fitting:
        expected = ', '.join(str(count) for count in counts)
        raise CalibrationError(
            f"camera_info has {d.size} coefficients in d for distortion_model '{name}'; expected {expected}; calibrate "
            'the camera, or correct the driver'
        )
    return tuple(d[: fitting[-1]].tolist())


def _undistort_polynomial(points: Points2D, d: Points2D) -> Points2D:
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, TOLERANCE / 10)
    if hasattr(cv2, 'undistortPointsIter'):  # OpenCV 4
        found = cv2.undistortPointsIter(points[:, None], np.eye(3), d, np.eye(3), np.eye(3), criteria)
    else:
        found = cv2.undistortPoints(points[:, None], np.eye(3), d, criteria=criteria)
    return np.asarray(found[:, 0], dtype=np.float64)


def _tilted(points: Points2D, tau_x: float, tau_y: float) -> Points2D:
    """Project points on a sensor that is tilted about x, then y (Louhichi et al., 2007)."""
    turn = cv2.Rodrigues(np.array((0, -tau_y, 0)))[0] @ cv2.Rodrigues(np.array((-tau_x, 0, 0)))[0]
    project = np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]])
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ (project @ turn).T
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])
