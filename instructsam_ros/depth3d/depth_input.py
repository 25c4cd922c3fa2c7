"""`DepthInput`: subscribes to depth/image, and finds the depth of an image."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from instructsam_ros.depth3d.depth_options import TRANSPORTS, DepthOptions
from instructsam_ros.depth3d.depth_sync import DepthSynchronizer, PendingMatch
from instructsam_ros.depth3d.missing_depth import NoDepthError, explain_offset
from instructsam_ros.image_topic import ImageTopic
from instructsam_ros.latched_subscription import LatchedSubscription
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
        transforms: buffer of transforms for the image; None without transforms.
    """

    camera: str
    header: Header
    match: PendingMatch | None
    camera_info: CameraInfo | None = None
    is_given: bool = False
    transforms: Any = None

    @property
    def arrived_s(self) -> float:
        """Time of arrival of the image, on the clock of `time.monotonic`."""
        return self.match.arrived_s if self.match is not None else 0.0


class DepthInput:
    """The subscription to the depth of one camera; messages are decoded only when they are needed.

    Best effort as for images (REP-2003), and keep last 5, because depth may wait for its image.

    Args:
        node: subscribes.
        camera: name of the camera; without a name, the topic is `depth/image`.
        transport: one of `TRANSPORTS`.
        on_arrival: called when a depth message has arrived, in the thread of the executor.

    Attributes:
        synchronizer: finds the depth of an image.
    """

    def __init__(self, node: Node, camera: str, transport: str, on_arrival: Callable[[], None]) -> None:
        name = f'{camera}/depth/image' if camera else 'depth/image'
        self._topic = ImageTopic(node, name, transport, 'depth.image_transport', TRANSPORTS)
        self._on_arrival = on_arrival
        self.synchronizer = DepthSynchronizer()
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = LatchedSubscription[Any](
            node, self._topic.message_type, self._topic.topic, self._take_depth, qos
        )
        self._subscription.subscribe()

    def find(self, match: PendingMatch, options: DepthOptions) -> Image | CompressedImage:
        """Return the depth message of an image, as far as it has arrived; does not wait.

        Raises:
            NoDepthError: none has arrived, or the nearest one is too far away in time.
        """
        if match.message is None:
            raise NoDepthError(NOT_ARRIVED[0], self.describe_silence(), ErrorCode.NO_DEPTH)
        if not match.is_hit(options.max_offset_s):
            raise explain_offset(match, options.max_offset_s, options.max_delay_s)
        return match.message

    def describe_silence(self) -> str:
        """Return that no depth has arrived, since when, and why as far as that is known."""
        silent_s = time.monotonic() - self.synchronizer.stream.last_arrival_s
        since = f' for {silent_s:.0f} s' if silent_s < float('inf') else ''
        silence = self._topic.explain_silence()
        return f'no depth has arrived{since}{f": {silence}" if silence else f" on {self._topic.topic!r}"}'

    def destroy(self) -> None:
        """Unsubscribe."""
        self._subscription.unsubscribe()

    def _take_depth(self, message: Image | CompressedImage) -> None:
        self.synchronizer.add(message)
        self._on_arrival()
