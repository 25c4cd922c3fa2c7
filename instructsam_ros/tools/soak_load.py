"""`LoadGenerator`: what clients do to the node during a soak test."""

from __future__ import annotations

import itertools
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from instructsam_ros.msg import Segmentation
from instructsam_ros.node.diagnostics import resident_bytes
from instructsam_ros.node.outputs import OUTPUTS
from instructsam_ros.srv import Segment
from instructsam_ros.tools.client import SegmenterClient, create_segment_client
from instructsam_ros.tools.soak_checker import ResultChecker

INSTRUCTIONS = ('the red thing', 'everything on the table', 'the largest box', 'what is left of the ball', 'all mugs')
INSTRUCTION_PERIOD_S = 2.0
REQUEST_PERIOD_S = 1.0
SUBSCRIPTION_PERIOD_S = 3.0
VISIT_PERIOD_S = 5.0
MEMORY_PERIOD_S = 1.0
MAX_PENDING = 3
OPTIONAL_TOPICS = {
    f'segmenter/{output.name}': output.message_type
    for output in OUTPUTS
    if output.make is not None and output.is_available
}


class LoadGenerator:
    """Publishes instructions, sends requests, and creates and destroys subscriptions, each with a timer.

    Args:
        client: of the segmenter, brought up.
        checker: gets everything that is sent and received.
    """

    def __init__(self, client: SegmenterClient, checker: ResultChecker) -> None:
        self._node: Node = client.node
        self._segmenter = client.segmenter
        self._checker = checker
        self._texts = itertools.cycle(INSTRUCTIONS)
        self._request_ids = map(str, itertools.count())
        self._left: list[Client[Any, Any]] = []
        self._optional: list[Subscription[Any]] = []
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self._node.create_publisher(String, 'segmenter/instruction', latched)
        self._service = create_segment_client(self._node)
        qos = QoSProfile(depth=100)
        self._node.create_subscription(CameraInfo, 'camera_info', checker.add_camera_info, qos)
        self._node.create_subscription(Segmentation, 'segmenter/segmentation', checker.add_result, qos)
        self._timers = [
            self._node.create_timer(INSTRUCTION_PERIOD_S, self._publish_instruction),
            self._node.create_timer(REQUEST_PERIOD_S, self._send_request),
            self._node.create_timer(SUBSCRIPTION_PERIOD_S, self._toggle_subscriptions),
            self._node.create_timer(VISIT_PERIOD_S, self._visit),
            self._node.create_timer(MEMORY_PERIOD_S, self._measure_memory),
        ]

    def stop(self) -> None:
        """Stop publishing and sending."""
        for timer in self._timers:
            timer.cancel()

    def _publish_instruction(self) -> None:
        text = next(self._texts)
        self._checker.add_instruction(text)
        self._instruction.publish(String(data=text))

    def _send_request(self) -> None:
        # A slow machine is not overloaded: requests would only wait for each other.
        if self._checker.pending_requests >= MAX_PENDING:
            return
        request_id = next(self._request_ids)
        # Each text is unique, so that the result of another request is recognized.
        text = f'{next(self._texts)} ({request_id})'
        self._checker.add_request(request_id, text)
        future = self._service.call_async(Segment.Request(instruction=text, request_id=request_id))
        future.add_done_callback(lambda future: self._checker.add_response(request_id, future.result()))

    def _visit(self) -> None:
        """Send a request from a client that exists only for it; every second one leaves before the response."""
        request_id = next(self._request_ids)
        text = f'{next(self._texts)} ({request_id})'
        visitor: Client[Any, Any] = self._node.create_client(Segment, 'segmenter/segment')
        future = visitor.call_async(Segment.Request(instruction=text, request_id=request_id))
        if int(request_id) % 2:
            self._node.destroy_client(visitor)
            return
        # A request that is sent before discovery may be lost, so that it is not counted.
        future.add_done_callback(lambda _: self._left.append(visitor))
        for client in self._left:
            self._node.destroy_client(client)
        self._left.clear()

    def _toggle_subscriptions(self) -> None:
        if self._optional:
            # The node makes these messages only while there are subscribers, so they come and go.
            for subscription in self._optional:
                self._node.destroy_subscription(subscription)
            self._optional = []
        else:
            self._optional = [
                self._node.create_subscription(message_type, topic, lambda _: None, 1)
                for topic, message_type in OPTIONAL_TOPICS.items()
            ]

    def _measure_memory(self) -> None:
        size_bytes = resident_bytes(self._segmenter.pid)
        if size_bytes is not None:
            self._checker.add_memory(size_bytes)
