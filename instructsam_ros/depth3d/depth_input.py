"""`DepthInput`: subscribes to depth/image and camera_info, and checks that depth fits its image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instructsam_model import ConfigError, FrameError
from instructsam_ros.depth3d.camera_reader import CHOICES, CameraReader
from instructsam_ros.depth3d.depth_sync import DepthSynchronizer, PendingMatch
from instructsam_ros.depth3d.upright import find_plane
from instructsam_ros.messages.camera_info import image_size
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.depth_image import UNITS_M, read_depth
from instructsam_ros.messages.geometry import Matrix
from instructsam_ros.messages.lens_distortion import CalibrationError
from instructsam_ros.options import ParameterGroup, parameter

NOT_ARRIVED = ('no depth', 'no calibration')
"""Kinds of `NoDepthError` that are normal shortly after the start."""


class NoDepthError(FrameError):
    """No depth fits the image.

    Attributes:
        kind: identifies the cause, whatever the numbers in the message are.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, eq=False)
class Depth:
    """The depth of an image.

    Attributes:
        depth_m: float32 (H, W), along the optical axis; NaN where unknown or out of range.
        camera: of the depth.
    """

    depth_m: NDArray[np.float32]
    camera: CameraModel

    @cached_property
    def plane(self) -> Matrix | None:
        """The result of `find_plane`."""
        return find_plane(self.depth_m, self.camera)


@dataclass(frozen=True)
class DepthOptions(ParameterGroup):
    """Options of depth; the descriptions are those of the ROS parameters.

    Raises:
        ConfigError: the range is empty, or there are two upward directions.
    """

    enabled: bool = parameter(
        False, 'Subscribe to depth/image and camera_info of each camera and locate instances in 3D.',
        mutable='unconfigured',
    )  # fmt: skip
    max_offset_s: float = parameter(
        0.02,
        'Maximum difference between the time stamps of an image and its depth image in seconds.',
        range_=(0.0, 1.0),
        name='max_offset',
    )
    min_m: float = parameter(
        0.1, 'Minimum depth in meters; smaller depth is ignored.', range_=(0.0, 1000.0), name='min'
    )
    max_m: float = parameter(3.0, 'Maximum depth in meters; larger depth is ignored.', range_=(0.0, 1000.0), name='max')
    rectified: str = parameter(
        'auto',
        'Whether images are raw (K and d of camera_info) or rectified (P). auto: rectified if the name of the topic '
        'says so, as image_rect does.',
        choices=CHOICES,
    )
    box_frame: str = parameter(
        '', 'Frame in which 3D boxes are upright, such as base_link; its z axis must point up. Needs tf2_ros. Empty: '
        'boxes are aligned with the principal axes of their points.', mutable='unconfigured',
    )  # fmt: skip
    box_plane: bool = parameter(
        False, 'Make 3D boxes upright on the largest plane in the depth image, such as a table. Needs no transform.'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_m >= self.max_m:
            raise ConfigError(f'min: expected less than depth.max, {self.max_m:g}, got {self.min_m:g}')
        if self.box_frame and self.box_plane:
            raise ConfigError(
                f"box_plane: expected false with depth.box_frame '{self.box_frame}'; only one can define what is up"
            )

    @property
    def range_m(self) -> tuple[float, float]:
        """Nearest and farthest depth that is used."""
        return self.min_m, self.max_m


class DepthInput:
    """Subscriptions to the depth and the calibration of one camera; messages are decoded only when they are needed.

    Best effort as for images (REP-2003), and keep last 5, because depth may wait for its image.

    Args:
        node: subscribes.
        camera: name of the camera; without a name, the topics are `depth/image` and `camera_info`.

    Attributes:
        synchronizer: finds the depth of an image.
    """

    def __init__(self, node: Node, camera: str = '') -> None:
        base = f'{camera}/' if camera else ''
        self._node = node
        self.synchronizer = DepthSynchronizer()
        self._camera_info: CameraInfo | None = None
        self._last: tuple[Image, tuple[float, float], Depth] | None = None
        self._names = f'{base}depth/image', f'{base}camera_info'
        self._subscriptions = [
            node.create_subscription(
                kind,
                name,
                take,
                QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for kind, name, take in (
                (Image, self._names[0], self.synchronizer.add),
                (CameraInfo, self._names[1], self._take_camera_info),
            )
        ]
        topics = (node.resolve_topic_name(f'{base}{name}') for name in ('image', 'image/compressed', 'depth/image'))
        self._cameras = CameraReader(tuple(topics), node.get_logger().warning)

    def read(self, match: PendingMatch, header: Header, size_wh: tuple[int, int], options: DepthOptions) -> Depth:
        """Decode the depth of an image; may wait for it, so not for the executor's thread.

        The last result is cached for further requests about the same image.

        Args:
            match: of the image.
            header: of the image.
            size_wh: of the image.
            options: range and maximum offset.

        Raises:
            NoDepthError: no depth fits.
        """
        # 1. The nearest message in time.
        message = self.synchronizer.resolve(match)
        if message is None:
            raise NoDepthError(NOT_ARRIVED[0], f'no depth has arrived on {self._topic(0)}')
        # 2. It must fit the image: calibration, time, encoding, size, frame.
        camera = self._camera_model(size_wh, options)
        if match.offset_ns > options.max_offset_s * 1e9:
            raise NoDepthError(
                'offset',
                f'the nearest depth is {match.offset_ns / 1e6:.0f} ms away from the image; expected at most '
                f'{options.max_offset_s * 1e3:.0f} ms; use a camera that captures both at the same time, or raise '
                'depth.max_offset',
            )
        _check(message, header, size_wh)
        # 3. Decode, unless it is the message of the previous request.
        if self._last is not None:
            last_message, last_range_m, depth = self._last
            is_same = last_message is message and last_range_m == options.range_m
            if is_same and depth.camera is camera:
                return depth
        depth = Depth(_decode(message, options.range_m), camera)
        self._last = message, options.range_m, depth
        return depth

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _topic(self, index: int) -> str:
        """Return the name of a topic and what to check if nothing arrives."""
        return f"'{self._subscriptions[index].topic_name}'; check the remapping of {self._names[index]}"

    def _camera_model(self, size_wh: tuple[int, int], options: DepthOptions) -> CameraModel:
        info = self._camera_info
        if info is None:
            raise NoDepthError(NOT_ARRIVED[1], f'no camera_info has arrived on {self._topic(1)}')
        expected = image_size(info)
        if expected != size_wh:
            raise NoDepthError(
                'size of the calibration',
                f'camera_info is for {expected[0]}x{expected[1]}, the image is {size_wh[0]}x{size_wh[1]}; '
                'expected that of the same camera and resolution',
            )
        try:
            return self._cameras.read(info, options.rectified)
        except CalibrationError as error:
            raise NoDepthError('calibration', str(error)) from error


def _check(message: Image, header: Header, size_wh: tuple[int, int]) -> None:
    """Raise NoDepthError if a depth message cannot belong to the pixels of an image."""
    if message.encoding not in UNITS_M:
        raise NoDepthError(
            'encoding',
            f"depth has encoding '{message.encoding}'; expected one of {', '.join(UNITS_M)} (REP-118); "
            'check what depth/image is remapped to',
        )
    if (message.width, message.height) != size_wh:
        raise NoDepthError(
            'size',
            f'depth is {message.width}x{message.height}, the image {size_wh[0]}x{size_wh[1]}; expected depth that is '
            'registered to the image, as drivers and depth_image_proc publish it',
        )
    if message.header.frame_id != header.frame_id:
        raise NoDepthError(
            'frame',
            f"depth is in the frame '{message.header.frame_id}', the image in '{header.frame_id}'; expected depth that "
            'is registered to the image, as drivers and depth_image_proc publish it',
        )


def _decode(message: Image, range_m: tuple[float, float]) -> NDArray[np.float32]:
    """Return float32 (H, W), meters, NaN where unknown or out of range."""
    try:
        depth_m = read_depth(message)
    except FrameError as error:
        raise NoDepthError('broken', f'depth {error}') from error
    low_m, high_m = range_m
    with np.errstate(invalid='ignore'):  # comparisons with NaN are False
        return np.where((depth_m >= max(low_m, 1e-6)) & (depth_m <= high_m), depth_m, np.float32(np.nan))
