"""What the node listens to while it is active: the camera and the standing instruction."""

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


class Camera:
    """The subscription to the images, and what there is to say when none arrive.

    Best effort and keep last 1 (REP-2003): connects to every camera, and an old image is worth nothing.

    Args:
        node: the node that listens.
        transport: `raw` or `compressed`.
        on_image: takes each message.
        name: of the camera; the topic of one that has none is `image`.
    """

    def __init__(self, node: Node, transport: str, on_image: Callable[[Any], None], name: str = '') -> None:
        compressed = transport == 'compressed'
        topic = f'{name}/image' if name else 'image'
        self._node = node
        self._name = topic
        self._on_image = on_image
        self._silent_since_s = time.monotonic()
        self._warned = False
        self._subscription = node.create_subscription(
            CompressedImage if compressed else Image,
            f'{topic}/compressed' if compressed else topic,
            self._take,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    @property
    def topic(self) -> str:
        """Full name of the topic, after remapping."""
        return str(self._subscription.topic_name)

    def complaint(self, timeout_s: float) -> str:
        """Why no image has arrived for `timeout_s`; empty when one has."""
        silent_s = time.monotonic() - self._silent_since_s
        if silent_s < timeout_s:
            return ''
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            check = f"check the remapping of '{self._name}'"
            return f"no image for {silent_s:.0f} s: nobody publishes on '{self.topic}'; {check}"
        offered = '; '.join(f'{info.node_name} offers {_describe(info.qos_profile)}' for info in publishers)
        return (
            f"no image for {silent_s:.0f} s on '{self.topic}' although somebody publishes: {offered}; this node asks "
            f'for {_describe(self._subscription.qos_profile)}. Best effort loses images of more than 0.5 MB unless the '
            f"publisher's process uses the shared-memory profile config/fastdds_shm.xml"
        )

    def warn_once(self, timeout_s: float) -> None:
        """Log the complaint, once until an image arrives again."""
        if not self._warned and (complaint := self.complaint(timeout_s)):
            self._warned = True
            self._node.get_logger().warning(complaint)

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)

    def _take(self, message: Any) -> None:
        self._silent_since_s = time.monotonic()
        if self._warned:
            self._warned = False
            self._node.get_logger().info(f"images arrive again on '{self.topic}'")
        self._on_image(message)


class InstructionTopic:
    """`~/instruction`, from planners that latch what they send and from those that do not.

    One subscription cannot serve both: a transient-local one does not match a volatile publisher, and a volatile one is
    not given what was sent before it existed. So there is a volatile one for what is sent live, joined by a
    transient-local one as soon as a publisher latches. Of a latched message only what is newer than everything heard so
    far counts: the live subscription has heard it too, or it is the old message of a publisher that came late.
    """

    def __init__(self, node: LifecycleNode, on_text: Callable[[str], None]) -> None:
        self._node = node
        self._on_text = on_text
        self._heard_ns = 0
        self._live: Subscription[String] | None = None
        self._latched: Subscription[String] | None = None

    def subscribe(self) -> None:
        """Start listening; what was heard before still counts as heard."""
        self._live = self._subscribe(DurabilityPolicy.VOLATILE, self._take_live)
        self.find_latched()

    def find_latched(self) -> None:
        """Listen to latched messages too if anybody latches; without need it would make every planner log a warning."""
        if self._live is None or self._latched is not None:
            return
        publishers = self._node.get_publishers_info_by_topic(self._live.topic_name)
        if any(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in publishers):
            self._latched = self._subscribe(DurabilityPolicy.TRANSIENT_LOCAL, self._take_latched)

    def unsubscribe(self) -> None:
        """Stop listening."""
        for subscription in (self._live, self._latched):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._live = self._latched = None

    def heard_now(self) -> None:
        """Let nothing that was sent until now count any more."""
        self._heard_ns = time.time_ns()

    def _subscribe(self, durability: DurabilityPolicy, take: Callable[..., None]) -> Subscription[String]:
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        events = SubscriptionEventCallbacks(
            matched=(lambda _: self.find_latched()) if durability == DurabilityPolicy.VOLATILE else None,
            use_default_callbacks=durability == DurabilityPolicy.VOLATILE,
        )
        return self._node.create_subscription(String, '~/instruction', take, qos, event_callbacks=events)

    def _take_live(self, message: String, info: MessageInfo) -> None:
        self._heard_ns = max(self._heard_ns, info['source_timestamp'])
        self._on_text(message.data)

    def _take_latched(self, message: String, info: MessageInfo) -> None:
        if info['source_timestamp'] > self._heard_ns:
            self._take_live(message, info)


def _describe(qos: QoSProfile) -> str:
    kept = f', keep last {qos.depth}' if qos.depth else ''  # which a publisher elsewhere does not tell
    return f'{qos.reliability.name.lower()}, {qos.durability.name.lower()}{kept}'
