"""Subscriptions of the active node: images and instructions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from instructsam_ros.image_topic import ImageTopic
from instructsam_ros.latched_subscription import LatchedSubscription

IMAGE_TRANSPORTS = ('raw', 'compressed')


class ImageSubscription:
    """The subscription to the images of one camera, with a warning if none arrive.

    Best effort and keep last 1 (REP-2003): matches publishers of either reliability, and old images are useless.

    Args:
        node: subscribes.
        transport: one of `IMAGE_TRANSPORTS`.
        on_image: called with each message.
        name: of the camera; without a name, the topic is `image`.

    Attributes:
        camera: its name.
    """

    def __init__(self, node: Node, transport: str, on_image: Callable[[Any], None], name: str = '') -> None:
        self.camera = name
        self._node = node
        self._topic = ImageTopic(
            node, f'{name}/image' if name else 'image', transport, 'image_transport', IMAGE_TRANSPORTS
        )
        self._on_image = on_image
        self._last_image_s = time.monotonic()
        self._warned = False
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscription = LatchedSubscription[Any](
            node, self._topic.message_type, self._topic.topic, self._on_message, qos
        )
        self._subscription.subscribe()

    @property
    def topic(self) -> str:
        """Full name of the topic, after remapping."""
        return self._topic.topic

    def warning(self, timeout_s: float) -> str:
        """Return why no image has arrived for `timeout_s`; empty if one has."""
        waiting_s = time.monotonic() - self._last_image_s
        if waiting_s < timeout_s:
            return ''
        # A wrong remapping, another transport and incompatible QoS look the same here; the graph tells them apart.
        if silence := self._topic.explain_silence():
            return f'no image for {waiting_s:.0f} s: {silence}'
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        offered = '; '.join(f'{info.node_name} offers {_describe(info.qos_profile)}' for info in publishers)
        return (
            f"no image for {waiting_s:.0f} s on '{self.topic}' although there are publishers: {offered}; this node "
            f'requests {_describe(self._subscription.qos)}. Best effort drops images of more than 0.5 MB '
            f"unless the publisher's process uses the shared-memory profile config/fastdds_shm.xml"
        )

    def warn_once(self, timeout_s: float) -> None:
        """Log the warning, once until an image arrives again."""
        if not self._warned and (warning := self.warning(timeout_s)):
            self._warned = True
            self._node.get_logger().warning(warning)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._subscription.unsubscribe()

    def _on_message(self, message: Any) -> None:
        self._last_image_s = time.monotonic()
        if self._warned:
            self._warned = False
            self._node.get_logger().info(f"images arrive again on '{self.topic}'")
        self._on_image(message)


class InstructionTopic(LatchedSubscription[String]):
    """The subscription to `~/instruction`.

    Args:
        node: subscribes.
        on_text: called with each new instruction.
    """

    def __init__(self, node: Node, on_text: Callable[[str], None]) -> None:
        super().__init__(node, String, '~/instruction', lambda message: on_text(message.data), QoSProfile(depth=10))


def _describe(qos: QoSProfile) -> str:
    kept = f', keep last {qos.depth}' if qos.depth else ''  # unknown for publishers of other nodes
    return f'{qos.reliability.name.lower()}, {qos.durability.name.lower()}{kept}'
