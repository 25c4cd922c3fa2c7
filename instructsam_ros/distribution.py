"""What differs between the ROS 2 distributions from Humble to Kilted, so that other modules need not know it.

docs/platforms.md lists the differences. `tests/ros/test_distribution.py` fails if a module uses a name of rclpy, launch
or tf2_ros that a supported distribution lacks.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock import ClockType as ClockType  # type: ignore[attr-defined]  # in rclpy.clock_type from Jazzy on
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

HAS_MATCHED_EVENTS = 'matched' in inspect.signature(SubscriptionEventCallbacks).parameters
"""Whether subscriptions report that they matched a publisher: from Iron on (ros2/rclpy#1083)."""

HAS_MESSAGE_INFO = hasattr(Subscription, 'CallbackType')
"""Whether callbacks of subscriptions can take the time of publication: from Iron on (ros2/rclpy#922)."""

UNKNOWN_STAMP_NS = 1
"""Time of publication where rclpy does not tell it: older than every known time, newer than none at all (0)."""

# In quotes, because the class is not generic before Kilted.
Check = Callable[['list[Parameter[Any]]'], SetParametersResult]
Apply = Callable[['list[Parameter[Any]]'], None]


def add_parameter_callbacks(node: Node, check: Check, apply: Apply) -> None:
    """Check changes of parameters before, and apply them after they are set; once for all that are set together.

    Humble has no callbacks after setting (they came with ros2/rclpy#966). There, `apply` is called as soon as `check`
    has accepted the values: `check` must be the only callback of the node that can reject them.
    """
    if hasattr(node, 'add_post_set_parameters_callback'):
        node.add_on_set_parameters_callback(check)
        node.add_post_set_parameters_callback(apply)
        return

    def check_and_apply(parameters: list[Parameter[Any]]) -> SetParametersResult:
        result = check(parameters)
        if result.successful:
            apply(parameters)
        return result

    node.add_on_set_parameters_callback(check_and_apply)


def add_parameter_conversion(node: Node, convert: Callable[[list[Parameter[Any]]], list[Parameter[Any]]]) -> None:
    """Convert parameters before they are checked, such as 5 to 5.0; Humble cannot, and rejects 5 (ros2/rclpy#966)."""
    if hasattr(node, 'add_pre_set_parameters_callback'):
        node.add_pre_set_parameters_callback(convert)


def make_steady_clock() -> Clock:
    """Return a clock that advances evenly whatever the system's time or the simulation's does."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def make_subscription_events(
    matched: Callable[[Any], None] | None = None, *, use_default_callbacks: bool = True
) -> SubscriptionEventCallbacks:
    """Return the event callbacks of a subscription; `matched` is never called where HAS_MATCHED_EVENTS is False."""
    events = {'matched': matched} if HAS_MATCHED_EVENTS else {}
    return SubscriptionEventCallbacks(use_default_callbacks=use_default_callbacks, **events)


def with_stamp(take: Callable[[Any, int], None], *, is_live: bool) -> Callable[..., None]:
    """Return a subscription's callback that calls `take` with a message and its time of publication, ns.

    Args:
        take: receives the message and the time.
        is_live: where rclpy does not tell the time, messages of a live subscription were published now, and those of
            other subscriptions, which replay old messages, at `UNKNOWN_STAMP_NS`.
    """
    if HAS_MESSAGE_INFO:
        return lambda message, info: take(message, info['source_timestamp'])
    return lambda message: take(message, time.time_ns() if is_live else UNKNOWN_STAMP_NS)
