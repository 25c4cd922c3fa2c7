"""`DepthInput`: subscribes to depth/image and camera_info, and finds those of an image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instructsam_ros.depth3d.depth_options import DepthOptions
from instructsam_ros.depth3d.depth_sync import DepthSynchronizer, PendingMatch
from instructsam_ros.depth3d.missing_depth import NoDepthError, explain_offset
from instructsam_ros.msg import ErrorCode

NOT_ARRIVED = ('no depth', 'no calibration')
"""Kinds of `NoDepthError` that are normal shortly after the start."""


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

    def warning(self) -> str:
        """Return which of depth and calibration does not arrive; empty if both do."""
        stream = self.synchronizer.stream
        if stream.last_arrival_s == float('-inf'):
            return f'no depth has arrived on {self._topic(0)}'
        if not stream.is_alive:
            stopped_s = time.monotonic() - stream.last_arrival_s
            return f'no depth has arrived for {stopped_s:.0f} s on {self._topic(0)}'
        return '' if self.camera_info is not None else f'no camera_info has arrived on {self._topic(1)}'

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
