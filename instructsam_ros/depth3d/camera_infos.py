"""`CameraInfos`: the newest calibration of each camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from instructsam_ros.latched_subscription import LatchedSubscription

DISCOVERY_TIMEOUT_S = 2.0
"""Time in which messages arrive that were sent before the subscription."""


class CameraInfos:
    """Subscribes to `camera_info` of each camera, once for all that need it.

    The node subscribes when it is configured, and ends the subscriptions only when it is cleaned up: a calibration that
    was sent once, even to an inactive node, holds for all activations.

    Args:
        node: subscribes.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._since_s = float('-inf')
        self._newest: dict[str, CameraInfo] = {}
        self._subscriptions: dict[str, LatchedSubscription[CameraInfo]] = {}

    def subscribe(self, cameras: Sequence[str], on_info: Callable[[CameraInfo], None]) -> None:
        """Subscribe.

        Args:
            cameras: their names; without a name, the topic is `camera_info`.
            on_info: called with each message.
        """
        self._since_s = time.monotonic()
        for camera in cameras:
            self._subscriptions[camera] = LatchedSubscription(
                self._node,
                CameraInfo,
                f'{camera}/camera_info' if camera else 'camera_info',
                partial(self._take, camera, on_info),
                # Best effort matches publishers of either reliability.
                QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            )
            self._subscriptions[camera].subscribe()

    def newest(self, camera: str) -> CameraInfo | None:
        """Return the newest calibration of a camera; None if none has arrived."""
        return self._newest.get(camera)

    def is_expected(self, camera: str) -> bool:
        """Return whether the first calibration of a camera may still arrive, as it is not long since `subscribe`."""
        return camera not in self._newest and time.monotonic() - self._since_s < DISCOVERY_TIMEOUT_S

    def describe(self, camera: str) -> str:
        """Return the name of the topic of a camera, and what to check if nothing arrives."""
        name = f'{camera}/camera_info' if camera else 'camera_info'
        return f"'{self._node.resolve_topic_name(name)}'; check the remapping of {name}"

    def unsubscribe(self) -> None:
        """Unsubscribe, and forget the calibrations."""
        for subscription in self._subscriptions.values():
            subscription.unsubscribe()
        self._subscriptions, self._newest = {}, {}

    def _take(self, camera: str, on_info: Callable[[CameraInfo], None], message: CameraInfo) -> None:
        self._newest[camera] = message
        on_info(message)
