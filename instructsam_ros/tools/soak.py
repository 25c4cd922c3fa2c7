"""Soak test: runs the node for hours with changing instructions, requests and subscribers, and checks every result.

The camera is the simulated one, with depth. The last line is JSON. The exit status is 1 if a result was lost, or
belongs to another image or instruction than it should.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.diagnostics import resident_bytes
from instructsam_ros.node.outputs import OUTPUTS
from instructsam_ros.srv import Segment
from instructsam_ros.tools.client import SegmenterClient, create_segment_client
from instructsam_ros.tools.runner import add_arguments, open_session, run_session

INSTRUCTIONS = ('the red thing', 'everything on the table', 'the largest box', 'what is left of the ball', 'all mugs')
INSTRUCTION_PERIOD_S = 2.0
REQUEST_PERIOD_S = 1.0
SUBSCRIPTION_PERIOD_S = 3.0
MEMORY_PERIOD_S = 1.0
OPTIONAL_TOPICS = {
    f'segmenter/{output.name}': output.message_type
    for output in OUTPUTS
    if output.make is not None and output.is_available
}
NODE_PARAMETERS = {'depth.enabled': True, 'depth.box_plane': True}
INSTRUCTION_DELAY_S = 1.0
"""Time that an instruction may take to reach the node; until then, results for the previous instruction are correct."""


class ResultChecker:
    """Counts results and responses, and those that are lost or wrong. Independent of ROS except for its messages."""

    def __init__(self) -> None:
        # (time of publication, text) of each instruction on the topic, oldest first.
        self._instructions: list[tuple[float, str]] = []
        self._pending: dict[str, str] = {}
        self._camera_stamps_ns: set[int] = set()
        self._result_stamps_ns: list[int] = []
        self._latencies_s: list[float] = []
        self._memory_mb: list[float] = []
        self._instances = self._boxes = 0
        self._failed = self._wrong_instructions = self._wrong_responses = self._requests = 0

    @property
    def pending_requests(self) -> int:
        """Number of requests without a response."""
        return len(self._pending)

    def add_instruction(self, text: str) -> None:
        """Record that an instruction is published now."""
        self._instructions.append((time.monotonic(), text))

    def add_request(self, request_id: str, text: str) -> None:
        """Record that a request is sent."""
        self._requests += 1
        self._pending[request_id] = text

    def add_response(self, request_id: str, response: Segment.Response) -> None:
        """Check the response to a request."""
        text = self._pending.pop(request_id)
        # A failed response counts as lost, as if it had not arrived.
        self._failed += not response.success
        result = response.segmentation
        self._wrong_responses += (result.request_id, result.instruction) != (request_id, text)

    def add_camera_info(self, message: CameraInfo) -> None:
        """Record the stamp of an image."""
        self._camera_stamps_ns.add(read_stamp_ns(message.header.stamp))

    def add_result(self, result: Segmentation) -> None:
        """Check a message on ~/segmentation."""
        if result.status == Segmentation.WITHDRAWN:  # no result of an image
            return
        now_s = time.monotonic()
        self._failed += result.status == Segmentation.FAILED
        self._result_stamps_ns.append(read_stamp_ns(result.header.stamp))
        self._latencies_s.append(result.latency)
        self._instances += len(result.instances)
        self._boxes += sum(instance.size.x > 0 for instance in result.instances)
        # How many instructions ago that of the result was published; None if it never was.
        ago = next((n for n, (_, text) in enumerate(self._instructions[::-1]) if text == result.instruction), None)
        # It was valid until the next instruction was published, and must have been valid when the image arrived.
        valid_until_s = self._instructions[-ago][0] if ago else now_s
        arrived_s = now_s - result.latency - INSTRUCTION_DELAY_S
        self._wrong_instructions += ago is None or valid_until_s < arrived_s

    def add_memory(self, size_bytes: int) -> None:
        """Record the resident memory of the node."""
        self._memory_mb.append(size_bytes / 1e6)

    def report(self) -> dict[str, float | int | None]:
        """Return the results of the run."""
        # Compare the second quarter with the last one, since the node fills its caches in the first.
        before_mb, after_mb = (
            round(float(np.median(part)), 2) if part.size else None
            for part in np.array_split(np.array(self._memory_mb), 4)[1::2]
        )
        stamps_ns = self._result_stamps_ns
        # Images from before the camera was discovered have no known stamp and are not checked.
        first_ns = min(self._camera_stamps_ns, default=0)
        unknown = sum(first_ns <= stamp_ns not in self._camera_stamps_ns for stamp_ns in stamps_ns)
        # Results are in the order of their images, each image once.
        backwards = int(np.count_nonzero(np.diff(stamps_ns) <= 0))
        return {
            'results': len(stamps_ns),
            'requests': self._requests,
            'instructions': len(self._instructions),
            'lost_results': self.pending_requests + self._failed,
            'wrong_stamps': unknown + backwards,
            'wrong_instructions': self._wrong_instructions + self._wrong_responses,
            'instances': self._instances,
            'boxes_3d': self._boxes,
            'latency_p95_ms': round(1e3 * float(np.percentile(self._latencies_s, 95)), 1) if stamps_ns else None,
            'memory_mb': after_mb,
            'memory_growth_mb': round(after_mb - before_mb, 2) if after_mb and before_mb else None,
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
        request_id = next(self._request_ids)
        # Each text is unique, so that the result of another request is recognized.
        text = f'{next(self._texts)} ({request_id})'
        self._checker.add_request(request_id, text)
        future = self._service.call_async(Segment.Request(instruction=text, request_id=request_id))
        future.add_done_callback(lambda future: self._checker.add_response(request_id, future.result()))

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


def soak(arguments: argparse.Namespace) -> dict[str, float | int | None]:
    """Run for as long as the arguments say, then wait for the pending responses.

    Raises:
        ProcessEndedError: a process has ended.
        ClientError: responses do not arrive in time.
    """
    camera = {'rate_hz': arguments.rate, 'seed': 1}
    with open_session('sim_camera', camera, arguments, **NODE_PARAMETERS) as session:
        checker = ResultChecker()
        load = LoadGenerator(session.client, checker)
        session.client.spin_for(60.0 * arguments.minutes)
        # Nothing new is sent from here on, so that every request has time for a response.
        load.stop()
        session.client.wait_for(lambda: checker.pending_requests == 0 or None, 'the last responses')
        return checker.report()


def main(args: list[str] | None = None) -> None:
    """Run the soak test."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_ros.tools.soak', description=__doc__.split('\n\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='duration (default: %(default)g)')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default: %(default)g)')
    add_arguments(parser)
    arguments = parser.parse_args(args)
    report = run_session('soak', lambda: soak(arguments))
    print(json.dumps(report))
    if report['lost_results'] or report['wrong_stamps'] or report['wrong_instructions']:
        sys.exit(1)


if __name__ == '__main__':
    main()
