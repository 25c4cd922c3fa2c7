"""`CameraSizes`: determines the image sizes of the cameras."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from instructsam_ros.inference.image_sizes import ImageSizes, SizeWh
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.messages.camera_info import image_size


class CameraSizes:
    """Subscribes to `camera_info` while the weights are loaded, whether the node is active or not.

    One message of each camera is enough: if the size changes later, the images show it.

    Args:
        node: subscribes.
        cameras: their names; without a name, the topic is `camera_info`.
        sizes: gets the sizes.
        scheduler: woken up when there is a new one, so that the worker warms up for it.
    """

    def __init__(self, node: Node, cameras: Sequence[str], sizes: ImageSizes, scheduler: Scheduler) -> None:
        self._node = node
        self._sizes = sizes
        self._scheduler = scheduler
        self._subscriptions: dict[str, Subscription[CameraInfo]] = {
            camera: node.create_subscription(
                CameraInfo,
                f'{camera}/camera_info' if camera else 'camera_info',
                partial(self._on_camera_info, camera),
                # Best effort matches publishers of either reliability.
                QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for camera in cameras
        }

    def add_image(self, message: Any) -> None:
        """Add the size of an image that has arrived; that of a compressed one is unknown until it is decoded."""
        if isinstance(message, Image):
            self._add((message.width, message.height))

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _on_camera_info(self, camera: str, message: CameraInfo) -> None:
        # The first message is enough; a second one may already be in the queue.
        if (subscription := self._subscriptions.pop(camera, None)) is not None:
            self._node.destroy_subscription(subscription)
            self._add(image_size(message))

    def _add(self, size_wh: SizeWh) -> None:
        if self._sizes.add(size_wh):
            self._scheduler.wake()
