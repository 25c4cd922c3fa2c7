"""`LatchedSubscription`: a topic whose publishers may be latched (transient local) or not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from copy import copy
from typing import Generic, TypeVar

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from instructsam_ros import distribution

MessageT = TypeVar('MessageT')
CLOCK_SET_BACK_NS = 60_000_000_000
"""If the last message is this far in the future, the system clock has been set back, and its stamp means nothing."""

POLL_PERIOD_S = 1.0
"""Period of the search for latched publishers where rclpy does not report publishers."""


class LatchedSubscription(Generic[MessageT]):
    """Receives the messages of all publishers of a topic, and the last ones from before that latched publishers keep.

    One subscription cannot do both: a transient-local one does not match a volatile publisher, and a volatile one gets
    no messages from before it was created. So there is a volatile one, and a transient-local one as soon as there is a
    transient-local publisher. The latter ignores messages that are not newer than the last one: the volatile
    subscription has received them too, or they are old messages of a publisher that was discovered late. It ends when
    it receives what the volatile one has received, since nothing from before follows.

    Args:
        node: subscribes.
        message_type: of the topic.
        topic: name of the topic.
        on_message: called with each message.
        qos: of the volatile subscription; parameters `qos_overrides.<topic>.subscription.*` change it.

    Attributes:
        latched_count: number of messages that the transient-local subscription has received, ignored ones included.
    """

    def __init__(
        self,
        node: Node,
        message_type: type[MessageT],
        topic: str,
        on_message: Callable[[MessageT], None],
        qos: QoSProfile,
    ) -> None:
        self._node = node
        self._message_type = message_type
        self._name = topic
        self._on_message = on_message
        self._qos = qos
        # Times of publication in ns, by the clock of the publisher.
        self._last_stamp_ns = 0
        self._live_stamp_ns = 0
        self._latched_stamps_ns: deque[int] = deque(maxlen=16)
        self._live: Subscription[MessageT] | None = None
        self._latched: Subscription[MessageT] | None = None
        self._poll: Timer | None = None
        self.latched_count = 0

    @property
    def topic(self) -> str:
        """Full name of the topic, after remapping."""
        return str(self._node.resolve_topic_name(self._name))

    @property
    def qos(self) -> QoSProfile:
        """QoS of the volatile subscription, after overrides."""
        return self._qos

    def subscribe(self) -> None:
        """Subscribe; messages from before an earlier subscription ended are still ignored."""
        # The default callbacks of the volatile subscription log publishers with another QoS.
        events = distribution.make_subscription_events(lambda _: self._find_latched())
        self._live_stamp_ns = 0
        self._live = self._node.create_subscription(
            self._message_type,
            self._name,
            distribution.with_stamp(self._on_live, is_live=True),
            self._qos,
            event_callbacks=events,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        # For a publisher that exists already; later ones cause a matched event, or are found by the timer.
        self._find_latched()
        if not distribution.HAS_MATCHED_EVENTS:
            clock = distribution.make_steady_clock()
            self._poll = self._node.create_timer(POLL_PERIOD_S, self._find_latched, clock=clock)

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        if self._live is not None:
            self._node.destroy_subscription(self._live)
            self._live = None
        if self._poll is not None:
            self._node.destroy_timer(self._poll)
            self._poll = None
        self._end_latched()

    def ignore_earlier(self) -> None:
        """Ignore latched messages that were published until now."""
        self._last_stamp_ns = time.time_ns()

    def _find_latched(self) -> None:
        """Add the transient-local subscription if there is such a publisher."""
        if self._live is None or self._latched is not None:
            return
        # DDS sends messages from before only from reliable publishers to reliable subscriptions.
        latched = DurabilityPolicy.TRANSIENT_LOCAL, ReliabilityPolicy.RELIABLE
        offered = (info.qos_profile for info in self._node.get_publishers_info_by_topic(self.topic))
        if not any((qos.durability, qos.reliability) == latched for qos in offered):
            return
        qos = copy(self._qos)
        qos.durability, qos.reliability = latched
        # Without the default callbacks, which would log every volatile publisher as incompatible.
        events = distribution.make_subscription_events(use_default_callbacks=False)
        take = distribution.with_stamp(self._on_latched, is_live=False)
        self._latched = self._node.create_subscription(
            self._message_type, self._name, take, qos, event_callbacks=events
        )

    def _end_latched(self) -> None:
        if self._latched is not None:
            self._node.destroy_subscription(self._latched)
            self._latched = None

    def _on_live(self, message: MessageT, stamp_ns: int) -> None:
        self._live_stamp_ns = stamp_ns
        if stamp_ns in self._latched_stamps_ns:  # the other subscription was faster
            return
        # Not the latest of all: the system clock may have been set back.
        self._last_stamp_ns = stamp_ns
        self._on_message(message)

    def _on_latched(self, message: MessageT, stamp_ns: int) -> None:
        if self._last_stamp_ns > time.time_ns() + CLOCK_SET_BACK_NS:
            self._last_stamp_ns = 0
        if stamp_ns > self._last_stamp_ns:
            self._last_stamp_ns = stamp_ns
            self._latched_stamps_ns.append(stamp_ns)
            self._on_message(message)
        elif stamp_ns == self._live_stamp_ns:
            self._end_latched()
        self.latched_count += 1
