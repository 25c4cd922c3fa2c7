"""`DepthReader`: checks that depth fits its image, and decodes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from instructsam_model import FrameError
from instructsam_ros.depth3d.camera_reader import CameraReader
from instructsam_ros.depth3d.depth_options import DepthOptions
from instructsam_ros.depth3d.missing_depth import NoDepthError
from instructsam_ros.depth3d.upright import find_plane
from instructsam_ros.messages.camera_info import SizeMismatchError
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.compressed_depth import expand_depth
from instructsam_ros.messages.depth_image import UNITS_M, read_depth
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.lens_distortion import CalibrationError
from instructsam_ros.msg import ErrorCode

MEDIAN_SAMPLES = 10_000
"""Approximate number of pixels that the median is taken of."""


@dataclass(frozen=True, eq=False)
class Depth:
    """The depth of an image.

    Attributes:
        depth_m: float32 (H, W), along the optical axis; NaN where unknown or out of range.
        camera: of the depth.
        median_m: of all known depth, in range or not; NaN if all is unknown.
        encoding: of the message.
    """

    depth_m: NDArray[np.float32]
    camera: CameraModel
    median_m: float
    encoding: str

    @cached_property
    def plane(self) -> Matrix | None:
        """The result of `find_plane`."""
        return find_plane(self.depth_m, self.camera)


class DepthReader:
    """Checks depth messages and decodes them; the last one is cached for further requests about the same image.

    Args:
        node: logs doubts about the calibration.
        camera: name of the camera.
        is_given: whether the depth comes with requests, instead of from the camera.
    """

    def __init__(self, node: Node, camera: str, *, is_given: bool = False) -> None:
        self._is_given = is_given
        base = f'{camera}/' if camera else ''
        topics = (node.resolve_topic_name(f'{base}{name}') for name in ('image', 'image/compressed', 'depth/image'))
        self._cameras = CameraReader(tuple(topics), node.get_logger().warning)
        self._last: tuple[Image, tuple[float, float], Depth] | None = None
        self._expanded: tuple[CompressedImage, Image] | None = None

    @property
    def doubt(self) -> str:
        """What cannot be known about the calibration; empty if there is no doubt."""
        return self._cameras.doubt

    def read(
        self,
        message: Image | CompressedImage,
        info: CameraInfo,
        header: Header,
        size_wh: tuple[int, int],
        options: DepthOptions,
    ) -> Depth:
        """Decode the depth of an image.

        Args:
            message: depth.
            info: calibration of the image.
            header: of the image.
            size_wh: of the image.
            options: range, and whether images are rectified.

        Raises:
            NoDepthError: the depth or the calibration does not fit the image.
        """
        camera = self._camera_model(info, header, size_wh, options)
        image = self._expand(message)
        _check(image, header, size_wh, is_given=self._is_given)
        if self._last is not None:
            last_image, last_range_m, depth = self._last
            is_same = last_image is image and last_range_m == options.range_m
            if is_same and depth.camera is camera:
                return depth
        depth = _decode(image, options.range_m, camera)
        self._last = image, options.range_m, depth
        return depth

    def _expand(self, message: Image | CompressedImage) -> Image:
        if isinstance(message, Image):
            return message
        if self._expanded is None or self._expanded[0] is not message:
            try:
                self._expanded = message, expand_depth(message)
            except FrameError as error:
                raise NoDepthError('broken', str(error)) from error
        return self._expanded[1]

    def _camera_model(
        self, info: CameraInfo, header: Header, size_wh: tuple[int, int], options: DepthOptions
    ) -> CameraModel:
        try:
            return self._cameras.read(info, header, size_wh, options.rectified)
        except SizeMismatchError as error:
            raise NoDepthError('size of the calibration', str(error)) from error
        except CalibrationError as error:
            raise NoDepthError('calibration', str(error), ErrorCode.NO_CAMERA_INFO) from error


def _check(message: Image, header: Header, size_wh: tuple[int, int], *, is_given: bool) -> None:
    """Raise NoDepthError if a depth message cannot belong to the pixels of an image."""
    if message.encoding not in UNITS_M:
        raise NoDepthError(
            'encoding',
            f"depth has encoding '{message.encoding}'; expected one of {', '.join(UNITS_M)} (REP-118); "
            f'check {"the depth of the request" if is_given else "what depth/image is remapped to"}',
        )
    if (message.width, message.height) != size_wh:
        raise NoDepthError(
            'size',
            f'depth is {message.width}x{message.height}, the image {size_wh[0]}x{size_wh[1]}; expected depth that is '
            'registered to the image, as drivers and depth_image_proc publish it',
        )
    # A client that sends its own images may leave a frame empty.
    is_known = not is_given or (message.header.frame_id and header.frame_id)
    if is_known and message.header.frame_id != header.frame_id:
        raise NoDepthError(
            'frame',
            f"depth is in the frame '{message.header.frame_id}', the image in '{header.frame_id}'; expected depth that "
            'is registered to the image, as drivers and depth_image_proc publish it',
        )


def _decode(message: Image, range_m: tuple[float, float], camera: CameraModel) -> Depth:
    try:
        depth_m = read_depth(message)
    except FrameError as error:
        raise NoDepthError('broken', f'depth {error}') from error
    low_m, high_m = range_m
    with np.errstate(invalid='ignore'):  # comparisons with NaN are False
        is_valid = (depth_m >= max(low_m, 1e-6)) & (depth_m <= high_m)
    return Depth(np.where(is_valid, depth_m, np.float32(np.nan)), camera, median_m(depth_m), message.encoding)


def median_m(depth_m: NDArray[np.float32]) -> float:
    """Return the median of the known depth of some pixels, whether in range or not; NaN if there is none."""
    step = max(1, int(np.sqrt(depth_m.size / MEDIAN_SAMPLES)))
    some_m = depth_m[::step, ::step]
    with np.errstate(invalid='ignore'):
        known_m = some_m[np.isfinite(some_m) & (some_m > 0)]
    return float(np.median(known_m)) if known_m.size else float('nan')
