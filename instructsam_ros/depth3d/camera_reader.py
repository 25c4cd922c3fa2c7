"""`CameraReader`: the camera model of calibration messages, and whether their images are rectified."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from sensor_msgs.msg import CameraInfo

from instructsam_ros.messages.camera_info import read_camera, rectification_error_px
from instructsam_ros.messages.camera_model import CameraModel

CHOICES = ('auto', 'raw', 'rectified')
NEGLIGIBLE_PX = 0.5
"""Rays that differ by less than this are the same: no calibration is better."""
NEGLIGIBLE_M = 1e-3
RECTIFIED = re.compile(r'(^|_)(rect|undist)')
RAW = re.compile(r'(^|_)(raw|unrect|dist)')


class CameraReader:
    """Keeps the camera model as long as the calibration does not change.

    Args:
        topics: full names of the topics of images that belong to the calibration; the first that says whether they are
            rectified counts.
        warn: called with a sentence if a calibration leaves a doubt, once for each doubt.
    """

    def __init__(self, topics: Sequence[str], warn: Callable[[str], object]) -> None:
        self._topics = topics
        self._warn = warn
        self._said: set[str] = set()
        self._last: tuple[object, CameraModel] | None = None

    def read(self, info: CameraInfo, size_wh: tuple[int, int], choice: str) -> CameraModel:
        """Return the camera.

        Args:
            info: calibration.
            size_wh: of the image.
            choice: one of `CHOICES`.

        Raises:
            CalibrationError: the calibration is not valid.
            SizeMismatchError: it is for images of another size.
        """
        key = choice, size_wh, _content(info)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        camera = read_camera(info, is_rectified=self._is_rectified(info, choice), size_wh=size_wh)
        self._last = key, camera
        if (offset_m := float(np.linalg.norm(camera.pose[:3, 3]))) > NEGLIGIBLE_M:
            self._say(
                f'camera_info is that of the second camera of a stereo pair: points are in the frame of the first, '
                f'{offset_m * 1e3:.0f} mm beside it; if the frame of the image is that of the second, set P[3] to 0'
            )
        return camera

    def _is_rectified(self, info: CameraInfo, choice: str) -> bool:
        if choice != 'auto':
            return choice == 'rectified'
        said = next((each for each in map(is_rectified, self._topics) if each is not None), None)
        if said is not None:
            return said
        # sensor_msgs/CameraInfo: `image` and `image_color` are distorted, `image_rect` and `image_rect_color` are not.
        error_px = rectification_error_px(info)
        if error_px > NEGLIGIBLE_PX:
            where = f"the images on '{self._topics[0]}'" if self._topics else 'the images'
            self._say(
                f'nothing says whether {where} are rectified; they are taken as raw (K and d of camera_info); if they '
                f'are rectified (P), points are wrong by up to {error_px:.0f} pixels; set depth.rectified to raw or '
                'rectified'
            )
        return False

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._warn(sentence)


def is_rectified(topic: str) -> bool | None:
    """Return whether the name of a topic says that its images are rectified, as image_rect does; None if it does not.

    The last part of the name that says so counts: image_rect_raw of RealSense cameras is rectified.
    """
    for part in reversed(topic.lower().split('/')):
        if RECTIFIED.search(part):
            return True
        if RAW.search(part):
            return False
    return None


def _content(info: CameraInfo) -> object:
    """Return what differs if two calibrations do."""
    roi = info.roi
    return (
        info.width,
        info.height,
        info.distortion_model,
        tuple(info.d),
        *(each.tobytes() for each in (info.k, info.r, info.p)),
        info.binning_x,
        info.binning_y,
        *(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )
