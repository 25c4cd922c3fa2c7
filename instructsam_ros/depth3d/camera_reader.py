"""`CameraReader`: the camera model of calibration messages, and whether their images are rectified."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import read_camera, rectification_error_px
from instructsam_ros.messages.camera_model import CameraModel

CHOICES = ('auto', 'raw', 'rectified')
NEGLIGIBLE_PX = 0.5
"""Rays that differ by less than this are the same: no calibration is better."""
NEGLIGIBLE_M = 1e-3
RECTIFIED = re.compile(r'(^|_)(rect|rectified|rectify|undist|undistorted)(\d|_|$)')
RAW = re.compile(r'(^|_)(raw|unrect|unrectified|distorted)(\d|_|$)')


class CameraReader:
    """Keeps the camera model as long as the calibration does not change.

    Args:
        topics: full names of the topics of images that belong to the calibration; the first that says whether they are
            rectified counts.
        warn: called with what users should know about a calibration, once for each sentence.

    Attributes:
        doubt: what cannot be known about the last calibration; empty if there is no doubt.
    """

    def __init__(self, topics: Sequence[str], warn: Callable[[str], object]) -> None:
        self._topics = topics
        self._warn = warn
        self._said: set[str] = set()
        self._last: tuple[object, CameraModel] | None = None
        self.doubt = ''

    def read(self, info: CameraInfo, header: Header, size_wh: tuple[int, int], choice: str) -> CameraModel:
        """Return the camera.

        Args:
            info: calibration.
            header: of the image.
            size_wh: of the image.
            choice: one of `CHOICES`.

        Raises:
            CalibrationError: the calibration is not valid.
            SizeMismatchError: it is for images of another size.
        """
        key = choice, size_wh, header.frame_id, _content(info)
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        is_rectified, doubt = self._is_rectified(info, choice)
        camera = read_camera(info, is_rectified=is_rectified, size_wh=size_wh)
        self.doubt = '; '.join(filter(None, (doubt, _foreign_frame(info, header))))
        for sentence in (self.doubt, _stereo(camera)):
            self._say(sentence)
        self._last = key, camera
        return camera

    def _is_rectified(self, info: CameraInfo, choice: str) -> tuple[bool, str]:
        """Return whether images are rectified, and why that is doubtful."""
        if choice != 'auto':
            return choice == 'rectified', ''
        said = {topic: kind for topic in self._topics if (kind := is_rectified(topic)) is not None}
        if len(set(said.values())) == 1:
            return next(iter(said.values())), ''
        # sensor_msgs/CameraInfo: `image` and `image_color` are distorted, `image_rect` and `image_rect_color` are not.
        error_px = rectification_error_px(info)
        if said:
            return next(iter(said.values())), _disagreement(said, error_px) if error_px > NEGLIGIBLE_PX else ''
        if error_px <= NEGLIGIBLE_PX:
            return False, ''
        where = f"the images on '{self._topics[0]}'" if self._topics else 'the images'
        return False, (
            f'nothing says whether {where} are rectified; they are taken as raw (K and d of camera_info); if they '
            f'are rectified (P), points are wrong by up to {error_px:.0f} pixels; set depth.rectified to raw or '
            'rectified'
        )

    def _say(self, sentence: str) -> None:
        if sentence and sentence not in self._said:
            self._said.add(sentence)
            self._warn(sentence)


def is_rectified(topic: str) -> bool | None:
    """Return whether the name of a topic says that its images are rectified, as image_rect does; None if it does not.

    The last part of the name that says so counts. `image_rect_raw` says nothing: such images of RealSense cameras are
    rectified, but those in color of a D405 have distortion (librealsense issue 13721).
    """
    for part in reversed(topic.lower().split('/')):
        says_rectified, says_raw = RECTIFIED.search(part) is not None, RAW.search(part) is not None
        if says_rectified != says_raw:
            return says_rectified
    return None


def _disagreement(said: dict[str, bool], error_px: float) -> str:
    """Return a sentence for an image that is rectified and depth that is not, or the other way round."""
    rectified, raw = (next(topic for topic, kind in said.items() if kind is wanted) for wanted in (True, False))
    return (
        f"'{rectified}' is rectified and '{raw}' is not, by their names; expected the image and its depth to be alike; "
        f'they differ by up to {error_px:.0f} pixels; rectify both or none, or set depth.rectified'
    )


def _foreign_frame(info: CameraInfo, header: Header) -> str:
    """Return a sentence if a calibration has the frame of another camera, such as that of the depth camera."""
    found, expected = info.header.frame_id, header.frame_id
    if not found or not expected or found == expected:
        return ''
    return (
        f"camera_info is in the frame '{found}', the image in '{expected}'; expected that of the same camera; check "
        'the remapping of camera_info'
    )


def _stereo(camera: CameraModel) -> str:
    """Return a sentence for the second camera of a stereo pair."""
    offset_m = float(np.linalg.norm(camera.pose[:3, 3]))
    if offset_m <= NEGLIGIBLE_M:
        return ''
    return (
        'camera_info is that of the second camera of a stereo pair: points are in the frame of the first, '
        f'{offset_m * 1e3:.0f} mm beside it; if the frame of the image is that of the second, set P[3] to 0'
    )


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
        *(roi.x_offset, roi.y_offset, roi.width, roi.height, roi.do_rectify),
        info.header.frame_id,
    )
