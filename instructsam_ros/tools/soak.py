"""Does the node stay right for hours, with planners that change their minds and subscribers that come and go?

The camera is the simulated one, with depth. The last line is JSON. Exit status 1 when an answer was lost, or was about
another image or instruction than it should be.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.client import Client
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.diagnostics import resident_bytes
from instructsam_ros.srv import Segment
from instructsam_ros.tools.session import add_arguments, open_session, run_session
from instructsam_ros.tools.task_planner import Planner

INSTRUCTIONS = ('the red thing', 'everything on the table', 'the largest box', 'what is left of the ball', 'all mugs')
INSTRUCTION_PERIOD_S = 2.0
REQUEST_PERIOD_S = 1.0
COMING_AND_GOING_S = 3.0
OPTIONAL_TOPICS: dict[str, type] = {
    'segmenter/overlay': Image,
    'segmenter/labels': Image,
    'segmenter/target/mask': Image,
    'segmenter/points': PointCloud2,
    'segmenter/target/points': PointCloud2,
    'segmenter/target/pose': PoseStamped,
    'segmenter/markers': MarkerArray,
}
NODE_PARAMETERS = {'depth.enabled': True, 'depth.box_plane': True}
GRACE_S = 1.0
"""An instruction may take so long from the planner to the node before answers to the former one count as wrong."""


class Soak:
    """Asks, changes its mind, comes and goes, and keeps account.

    Args:
        planner: of the node and the camera, brought up.
    """

    def __init__(self, planner: Planner) -> None:
        self._node = planner.node
        self._segmenter = planner.segmenter
        self._texts = itertools.cycle(INSTRUCTIONS)
        self._numbers = itertools.count()
        self._given: list[tuple[float, str]] = []
        self._pending: dict[str, Any] = {}
        self._optional: list[Subscription[Any]] = []
        self._camera_stamps_ns: set[int] = set()
        self._answer_stamps_ns: list[int] = []
        self._latencies_s: list[float] = []
        self._memory_mb: list[float] = []
        self._instances = self._boxes = 0
        self._failed = self._wrong_instructions = self._wrong_replies = self._requests = 0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self._node.create_publisher(String, 'segmenter/instruction', latched)
        self._client: Client[Any, Any] = self._node.create_client(Segment, 'segmenter/segment')
        self._node.create_subscription(CameraInfo, 'camera_info', self._on_camera_info, QoSProfile(depth=100))
        self._node.create_subscription(Segmentation, 'segmenter/segmentation', self._on_answer, QoSProfile(depth=100))
        self._timers = [
            self._node.create_timer(INSTRUCTION_PERIOD_S, self._instruct),
            self._node.create_timer(REQUEST_PERIOD_S, self._request),
            self._node.create_timer(COMING_AND_GOING_S, self._come_or_go),
            self._node.create_timer(1.0, self._weigh),
        ]

    @property
    def waiting(self) -> int:
        """Requests without a reply."""
        return len(self._pending)

    def finish(self) -> None:
        """Ask nothing more."""
        for timer in self._timers:
            timer.cancel()

    def report(self) -> dict[str, float | int | None]:
        """The numbers of the run."""
        # Compared are the second quarter and the last: the first still fills caches.
        before_mb, after_mb = (
            round(float(np.median(part)), 2) if part.size else None
            for part in np.array_split(np.array(self._memory_mb), 4)[1::2]
        )
        stamps_ns = self._answer_stamps_ns
        # What the camera said before it was found out that somebody listens is not known.
        first_ns = min(self._camera_stamps_ns, default=0)
        unknown = sum(first_ns <= stamp_ns not in self._camera_stamps_ns for stamp_ns in stamps_ns)
        backwards = int(np.count_nonzero(np.diff(stamps_ns) <= 0))
        return {
            'answers': len(stamps_ns),
            'requests': self._requests,
            'instructions': len(self._given),
            'lost_answers': self.waiting + self._failed,
            'wrong_stamps': unknown + backwards,
            'wrong_instructions': self._wrong_instructions + self._wrong_replies,
            'instances': self._instances,
            'boxes_3d': self._boxes,
            'latency_p95_ms': round(1e3 * float(np.percentile(self._latencies_s, 95)), 1) if stamps_ns else None,
            'memory_mb': after_mb,
            'memory_growth_mb': round(after_mb - before_mb, 2) if after_mb and before_mb else None,
        }

    def _instruct(self) -> None:
        text = next(self._texts)
        self._given.append((time.monotonic(), text))
        self._instruction.publish(String(data=text))

    def _request(self) -> None:
        number = str(next(self._numbers))
        text = f'{next(self._texts)} ({number})'
        self._requests += 1
        self._pending[number] = self._client.call_async(Segment.Request(instruction=text, request_id=number))
        self._pending[number].add_done_callback(lambda future: self._on_reply(number, text, future.result()))

    def _on_reply(self, number: str, text: str, reply: Segment.Response) -> None:
        del self._pending[number]
        self._failed += not reply.success
        answer = reply.segmentation
        self._wrong_replies += (answer.request_id, answer.instruction) != (number, text)

    def _on_answer(self, answer: Segmentation) -> None:
        now_s = time.monotonic()
        self._failed += answer.status == Segmentation.FAILED
        self._answer_stamps_ns.append(read_stamp_ns(answer.header.stamp))
        self._latencies_s.append(answer.latency)
        self._instances += len(answer.instances)
        self._boxes += sum(instance.size.x > 0 for instance in answer.instances)
        began_s = now_s - answer.latency - GRACE_S
        place = next((place for place, (_, text) in enumerate(self._given[::-1]) if text == answer.instruction), None)
        # It was withdrawn when the one after it was given.
        withdrawn_s = self._given[-place][0] if place else now_s
        self._wrong_instructions += place is None or withdrawn_s < began_s

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_stamps_ns.add(read_stamp_ns(message.header.stamp))

    def _come_or_go(self) -> None:
        if self._optional:
            for subscription in self._optional:
                self._node.destroy_subscription(subscription)
            self._optional = []
        else:
            self._optional = [
                self._node.create_subscription(kind, topic, lambda _: None, 1)
                for topic, kind in OPTIONAL_TOPICS.items()
            ]

    def _weigh(self) -> None:
        size = resident_bytes(self._segmenter.pid)
        if size is not None:
            self._memory_mb.append(size / 1e6)


def soak(arguments: argparse.Namespace) -> dict[str, float | int | None]:
    """Run for as long as the arguments say, then wait for the replies that are due.

    Raises:
        ChildError, PeerError: a process has ended, or replies do not come.
    """
    camera = {'rate_hz': arguments.rate, 'seed': 1}
    with open_session('sim_camera', camera, arguments, **NODE_PARAMETERS) as (planner, _):
        account = Soak(planner)
        end_s = time.monotonic() + 60.0 * arguments.minutes
        while (left_s := end_s - time.monotonic()) > 0:
            planner.wait_for(partial(is_past, time.monotonic() + min(left_s, 1.0)), 'time to pass')
        account.finish()
        planner.wait_for(lambda: account.waiting == 0 or None, 'the last replies')
        return account.report()


def is_past(time_s: float) -> bool | None:
    """Whether the steady clock has passed a time; None for no."""
    return time.monotonic() >= time_s or None


def main(args: list[str] | None = None) -> None:
    """Soak the node."""
    parser = argparse.ArgumentParser(prog='python -m instructsam_ros.tools.soak', description=__doc__.split('\n\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='how long (%(default)g)')
    parser.add_argument('--rate', type=float, default=30.0, help='pictures per second (%(default)g)')
    add_arguments(parser)
    arguments = parser.parse_args(args)
    report = run_session('soak', lambda: soak(arguments))
    print(json.dumps(report))
    if report['lost_answers'] or report['wrong_stamps'] or report['wrong_instructions']:
        sys.exit(1)


if __name__ == '__main__':
    main()
