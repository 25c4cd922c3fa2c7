"""`CameraSizes`: learns from the cameras in which sizes their images come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from instructsam_ros.inference.image_sizes import Sizes, SizeWh


class CameraSizes:
    """Listens to `camera_info` while the weights are loaded, active or not, and is shown the images.

    Of each camera one `camera_info` is enough: a size that changes later is seen in the images.

    Args:
        node: that listens.
        cameras: their names; the topic of one that has none is `camera_info`.
        sizes: are told.
        on_new: is called when there is a new one.
    """

    def __init__(self, node: Node, cameras: Sequence[str], sizes: Sizes, on_new: Callable[[], None]) -> None:
        self._node = node
        self._sizes = sizes
        self._on_new = on_new
        self._subscriptions: dict[str, Subscription[CameraInfo]] = {
            camera: node.create_subscription(
                CameraInfo,
                f'{camera}/camera_info' if camera else 'camera_info',
                partial(self._take, camera),
                QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for camera in cameras
        }

    def see(self, message: Any) -> None:
        """Look at an image that has arrived; a compressed one does not tell its size."""
        if isinstance(message, Image):
            self._expect((message.width, message.height))

    def destroy(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _take(self, camera: str, message: CameraInfo) -> None:
        if (subscription := self._subscriptions.pop(camera, None)) is not None:
            self._node.destroy_subscription(subscription)
            self._expect(image_size(message))

    def _expect(self, size_wh: SizeWh) -> None:
        if self._sizes.expect(size_wh):
            self._on_new()


def image_size(info: CameraInfo) -> SizeWh:
    """Width and height of the images that a calibration belongs to.

    Its own are those of the full sensor; a region of interest and binning make images smaller (sensor_msgs/CameraInfo).
    """
    width, height = info.roi.width or info.width, info.roi.height or info.height
    return width // max(info.binning_x, 1), height // max(info.binning_y, 1)
