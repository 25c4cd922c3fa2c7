"""`CameraReader`: the camera model of calibration messages, and whether their images are rectified."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sensor_msgs.msg import CameraInfo

from instructsam_ros.messages.camera_info import read_camera, rectification_error_px
from instructsam_ros.messages.camera_model import CameraModel

CHOICES = ('auto', 'raw', 'rectified')
NEGLIGIBLE_PX = 0.5
"""Rays that differ by less than this are the same: no calibration is better."""
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
        self._warned: set[str] = set()
        self._last: tuple[object, CameraModel] | None = None

    def read(self, info: CameraInfo, choice: str) -> CameraModel:
        """Return the camera.

        Args:
            info: calibration.
            choice: one of `CHOICES`.

        Raises:
            CalibrationError: the calibration is not valid.
        """
        key = choice, _content(info)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        camera = read_camera(info, is_rectified=self._is_rectified(info, choice))
        self._last = key, camera
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
            self._say(
                f"nothing says whether the images on '{self._topics[0]}' are rectified; they are taken as raw (K and d "
                f'of camera_info); if they are rectified (P), points are wrong by up to {error_px:.0f} pixels; set '
                'depth.rectified to raw or rectified'
            )
        return False

    def _say(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
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
