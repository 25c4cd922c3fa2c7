"""`DepthInput`: subscribes to depth/image and camera_info, and checks that depth fits its image."""

from __future__ import annotations

from collections.abc import Callable
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
from instructsam_ros.depth3d.depth_sync import DepthSynchronizer, PendingMatch
from instructsam_ros.depth3d.missing_depth import NoDepthError, explain_offset
from instructsam_ros.depth3d.upright import find_plane
from instructsam_ros.messages.depth_image import UNITS_M, read_depth
from instructsam_ros.messages.geometry import Matrix, read_intrinsics
from instructsam_ros.msg import ErrorCode
from instructsam_ros.options import ParameterGroup, parameter

NOT_ARRIVED = ('no depth', 'no calibration')
"""Kinds of `NoDepthError` that are normal shortly after the start."""
MEDIAN_SAMPLES = 10_000
"""Approximate number of pixels that the median is taken of."""


@dataclass(frozen=True, eq=False)
class Depth:
    """The depth of an image.

    Attributes:
        depth_m: float32 (H, W), along the optical axis; NaN where unknown or out of range.
        intrinsics: (3, 3), pixels.
        median_m: of all known depth, in range or not; NaN if all is unknown.
        encoding: of the message.
    """

    depth_m: NDArray[np.float32]
    intrinsics: Matrix
    median_m: float
    encoding: str

    @cached_property
    def plane(self) -> Matrix | None:
        """The result of `find_plane`."""
        return find_plane(self.depth_m, self.intrinsics)


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
    max_delay_s: float = parameter(
        0.5, 'Maximum time in seconds that a result waits for its depth image, from the arrival of the image. The '
        'model goes on meanwhile.',
        range_=(0.0, 10.0), name='max_delay',
    )  # fmt: skip
    policy: str = parameter(
        'with_depth', 'Which image of a camera is processed next. newest: the newest. with_depth: if only some images '
        'have depth, the newest of those, for at most max_delay.', choices=('newest', 'with_depth'),
    )  # fmt: skip
    min_m: float = parameter(
        0.1, 'Minimum depth in meters; smaller depth is ignored.', range_=(0.0, 1000.0), name='min'
    )
    max_m: float = parameter(3.0, 'Maximum depth in meters; larger depth is ignored.', range_=(0.0, 1000.0), name='max')
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


@dataclass(frozen=True, eq=False)
class DepthSearch:
    """The search for the depth of one image, from the arrival of the image on.

    Attributes:
        camera: name of the camera.
        header: of the image.
        match: nearest depth message so far; None if the camera has no depth.
        camera_info: calibration that came with the image; None for that of the camera.
        is_given: whether depth came with the image, so that its stamp does not matter.
    """

    camera: str
    header: Header
    match: PendingMatch | None
    camera_info: CameraInfo | None = None
    is_given: bool = False

    @property
    def arrived_s(self) -> float:
        """Time of arrival of the image, on the clock of `time.monotonic`."""
        return self.match.arrived_s if self.match is not None else 0.0


class DepthReader:
    """Checks depth messages and decodes them; the last one is cached for further requests about the same image."""

    def __init__(self) -> None:
        self._last: tuple[Image, tuple[float, float], Depth] | None = None

    def read(
        self, message: Image, info: CameraInfo, header: Header, size_wh: tuple[int, int], range_m: tuple[float, float]
    ) -> Depth:
        """Decode the depth of an image.

        Args:
            message: depth.
            info: calibration of the image.
            header: of the image.
            size_wh: of the image.
            range_m: nearest and farthest depth that is used.

        Raises:
            NoDepthError: the depth or the calibration does not fit the image.
        """
        intrinsics = _read_intrinsics(info, size_wh)
        _check(message, header, size_wh)
        if self._last is not None:
            last_message, last_range_m, depth = self._last
            is_same = last_message is message and last_range_m == range_m
            if is_same and np.array_equal(depth.intrinsics, intrinsics):
                return depth
        depth = _decode(message, range_m, intrinsics)
        self._last = message, range_m, depth
        return depth


class DepthInput:
    """Subscriptions to the depth and the calibration of one camera; messages are decoded only when they are needed.

    Best effort as for images (REP-2003), and keep last 5, because depth may wait for its image.

    Args:
        node: subscribes.
        camera: name of the camera; without a name, the topics are `depth/image` and `camera_info`.
        on_arrival: called when a depth message has arrived, in the thread of the executor.

    Attributes:
        synchronizer: finds the depth of an image.
        camera_info: the last calibration; None if none has arrived.
    """

    def __init__(self, node: Node, camera: str = '', on_arrival: Callable[[], None] = lambda: None) -> None:
        base = f'{camera}/' if camera else ''
        self._node = node
        self._on_arrival = on_arrival
        self.synchronizer = DepthSynchronizer()
        self.camera_info: CameraInfo | None = None
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
                (Image, self._names[0], self._take_depth),
                (CameraInfo, self._names[1], self._take_camera_info),
            )
        ]

    def find(self, match: PendingMatch, options: DepthOptions) -> tuple[Image, CameraInfo]:
        """Return the depth message and the calibration of an image, as far as they have arrived; does not wait.

        Raises:
            NoDepthError: one has not arrived, or the nearest depth is too far away in time.
        """
        if match.message is None:
            said = f'no depth has arrived on {self._topic(0)}'
            raise NoDepthError(NOT_ARRIVED[0], said, ErrorCode.NO_DEPTH)
        if self.camera_info is None:
            said = f'no camera_info has arrived on {self._topic(1)}'
            raise NoDepthError(NOT_ARRIVED[1], said, ErrorCode.NO_CAMERA_INFO)
        if not match.is_hit(options.max_offset_s):
            raise explain_offset(match, options.max_offset_s, options.max_delay_s)
        return match.message, self.camera_info

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_depth(self, message: Image) -> None:
        self.synchronizer.add(message)
        self._on_arrival()

    def _take_camera_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _topic(self, index: int) -> str:
        """Return the name of a topic and what to check if nothing arrives."""
        return f"'{self._subscriptions[index].topic_name}'; check the remapping of {self._names[index]}"


def _read_intrinsics(info: CameraInfo, size_wh: tuple[int, int]) -> Matrix:
    if (info.width, info.height) != size_wh:
        raise NoDepthError(
            'size of the calibration',
            f'camera_info is for {info.width}x{info.height}, the image is {size_wh[0]}x{size_wh[1]}; '
            'expected that of the same camera and resolution',
        )
    intrinsics = read_intrinsics(info)
    if not np.all(np.isfinite(intrinsics)) or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        said = 'camera_info has no focal length in K; calibrate the camera'
        raise NoDepthError('calibration', said, ErrorCode.NO_CAMERA_INFO)
    return intrinsics


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


def _decode(message: Image, range_m: tuple[float, float], intrinsics: Matrix) -> Depth:
    try:
        depth_m = read_depth(message)
    except FrameError as error:
        raise NoDepthError('broken', f'depth {error}') from error
    low_m, high_m = range_m
    with np.errstate(invalid='ignore'):  # comparisons with NaN are False
        is_valid = (depth_m >= max(low_m, 1e-6)) & (depth_m <= high_m)
    return Depth(np.where(is_valid, depth_m, np.float32(np.nan)), intrinsics, median_m(depth_m), message.encoding)


def median_m(depth_m: NDArray[np.float32]) -> float:
    """Return the median of the known depth of some pixels, whether in range or not; NaN if there is none."""
    step = max(1, int(np.sqrt(depth_m.size / MEDIAN_SAMPLES)))
    some_m = depth_m[::step, ::step]
    with np.errstate(invalid='ignore'):
        known_m = some_m[np.isfinite(some_m) & (some_m > 0)]
    return float(np.median(known_m)) if known_m.size else float('nan')
