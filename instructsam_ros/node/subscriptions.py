"""Subscriptions of the active node: images and instructions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import MessageInfo, Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String


class ImageSubscription:
    """The subscription to the images of one camera, with a warning if none arrive.

    Best effort and keep last 1 (REP-2003): matches publishers of either reliability, and old images are useless.

    Args:
        node: subscribes.
        transport: `raw` or `compressed`.
        on_image: called with each message.
        name: of the camera; without a name, the topic is `image`.
    """

    def __init__(self, node: Node, transport: str, on_image: Callable[[Any], None], name: str = '') -> None:
        compressed = transport == 'compressed'
        topic = f'{name}/image' if name else 'image'
        self._node = node
        self._name = topic
        self._on_image = on_image
        self._last_image_s = time.monotonic()
        self._warned = False
        self._subscription = node.create_subscription(
            CompressedImage if compressed else Image,
            f'{topic}/compressed' if compressed else topic,
            self._on_message,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def topic(self) -> str:
        """Full name of the topic, after remapping."""
        return str(self._subscription.topic_name)

    def warning(self, timeout_s: float) -> str:
        """Return why no image has arrived for `timeout_s`; empty if one has."""
        waiting_s = time.monotonic() - self._last_image_s
        if waiting_s < timeout_s:
            return ''
        # A wrong remapping and incompatible QoS look the same to this node; the graph tells them apart.
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            check = f"check the remapping of '{self._name}'"
            return f"no image for {waiting_s:.0f} s: no publisher on '{self.topic}'; {check}"
        offered = '; '.join(f'{info.node_name} offers {_describe(info.qos_profile)}' for info in publishers)
        return (
            f"no image for {waiting_s:.0f} s on '{self.topic}' although there are publishers: {offered}; this node "
            f'requests {_describe(self._subscription.qos_profile)}. Best effort drops images of more than 0.5 MB '
            f"unless the publisher's process uses the shared-memory profile config/fastdds_shm.xml"
        )

    def warn_once(self, timeout_s: float) -> None:
        """Log the warning, once until an image arrives again."""
        if not self._warned and (warning := self.warning(timeout_s)):
            self._warned = True
            self._node.get_logger().warning(warning)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_message(self, message: Any) -> None:
        self._last_image_s = time.monotonic()
        if self._warned:
            self._warned = False
            self._node.get_logger().info(f"images arrive again on '{self.topic}'")
        self._on_image(message)


class InstructionTopic:
    """Subscriptions to `~/instruction`, for publishers that are transient local (latched) or volatile.

    One subscription cannot serve both: a transient-local one does not match a volatile publisher, and a volatile one
    gets no messages from before it was created. So there is a volatile one, and a transient-local one as soon as there
    is a transient-local publisher. The latter ignores messages that are not newer than the last one: the volatile
    subscription has received them too, or they are old messages of a publisher that was discovered late.

    Args:
        node: subscribes.
        on_text: called with each new instruction.

    Attributes:
        latched_count: number of messages that the transient-local subscription has received, ignored ones included.
    """

    def __init__(self, node: LifecycleNode, on_text: Callable[[str], None]) -> None:
        self._node = node
        self._on_text = on_text
        self._last_stamp_ns = 0
        self.latched_count = 0
        self._live: Subscription[String] | None = None
        self._latched: Subscription[String] | None = None

    def subscribe(self) -> None:
        """Subscribe; messages from before an earlier subscription ended are still ignored."""
        self._live = self._subscribe(DurabilityPolicy.VOLATILE, self._on_live)
        # For a publisher that exists already; later ones cause a matched event.
        self.find_latched()

    def find_latched(self) -> None:
        """Add the transient-local subscription if there is such a publisher; others would log an incompatible QoS."""
        if self._live is None or self._latched is not None:
            return
        publishers = self._node.get_publishers_info_by_topic(self._live.topic_name)
        if any(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in publishers):
            self._latched = self._subscribe(DurabilityPolicy.TRANSIENT_LOCAL, self._on_latched)

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        for subscription in (self._live, self._latched):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._live = self._latched = None

    def ignore_earlier(self) -> None:
        """Ignore messages that were published until now."""
        self._last_stamp_ns = time.time_ns()

    def _subscribe(self, durability: DurabilityPolicy, take: Callable[..., None]) -> Subscription[String]:
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        # The default callbacks of the transient-local subscription would log every volatile publisher as incompatible.
        events = SubscriptionEventCallbacks(
            matched=(lambda _: self.find_latched()) if durability == DurabilityPolicy.VOLATILE else None,
            use_default_callbacks=durability == DurabilityPolicy.VOLATILE,
        )
        return self._node.create_subscription(String, '~/instruction', take, qos, event_callbacks=events)

    def _on_live(self, message: String, info: MessageInfo) -> None:
        # Not the latest of all: the system clock of a publisher may have been set back.
        self._last_stamp_ns = info['source_timestamp']
        self._on_text(message.data)

    def _on_latched(self, message: String, info: MessageInfo) -> None:
        # `source_timestamp` is the time of publication, ns.
        if info['source_timestamp'] > self._last_stamp_ns:
            self._on_live(message, info)
        self.latched_count += 1


def _describe(qos: QoSProfile) -> str:
    kept = f', keep last {qos.depth}' if qos.depth else ''  # unknown for publishers of other nodes
    return f'{qos.reliability.name.lower()}, {qos.durability.name.lower()}{kept}'
