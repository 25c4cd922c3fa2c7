"""Depth and transforms that come late or rarely, and depth with other stamps: how many answers have 3D, and why not."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from instructsam_ros.messages.geometry import make_transform
from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import ErrorCode
from instructsam_ros.srv import Segment
from tests.support import tf2_substitute
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph
from tests.support.rgbd_stream import RgbdStream, share_with_boxes

INFERENCE_S = 0.02


def start(graph: Graph, **parameters: Any) -> list[Any]:
    """Start a node whose model is faster than the camera; return its answers."""
    values = {'instruction': 'red', 'depth.enabled': True, **parameters}
    graph.segmenter(FakeSegmenter(INFERENCE_S), warmup=False, **values)
    return graph.subscribe()


def warm_up(stream: RgbdStream, answers: list[Any]) -> None:
    """Publish until discovery is over and the rate of depth is known; forget the answers."""
    stream.play(60)
    stream.graph.wait_for(lambda: answers, 'answers')
    answers.clear()


@pytest.mark.parametrize(
    ('every', 'delay_s', 'policy', 'low', 'high'),
    [
        (2, 0.0, 'with_depth', 0.95, 1.0),
        pytest.param(2, 0.0, 'newest', 0.3, 0.7, marks=pytest.mark.slow),
        pytest.param(2, 0.1, 'with_depth', 0.95, 1.0, marks=pytest.mark.slow),
        (1, 0.3, 'with_depth', 0.97, 1.0),
    ],
)
def test_share_of_answers_with_depth(graph: Graph, every: int, delay_s: float, policy: str, low: float, high: float):
    # Longer than the default, so that a busy machine is not what is measured.
    answers = start(graph, **{'depth.policy': policy, 'depth.max_delay': 2.0})
    stream = RgbdStream(graph, every, delay_s)
    warm_up(stream, answers)
    stream.play(90)
    share = share_with_boxes(answers)
    print(f'depth of every {every}. image, {delay_s:g} s late, {policy}: {share:.3f} of {len(answers)} answers have 3D')
    assert low <= share <= high, f'{len(answers)} answers, {share:.2f} with depth'
    assert len(answers) > 30


def test_late_depth_names_the_delay(graph: Graph):
    answers = start(graph, **{'depth.max_delay': 0.1})
    stream = RgbdStream(graph, delay_s=0.3)
    stream.play(45)
    last = answers[-1]
    assert (last.points_error_code, last.instances[0].size.x) == (ErrorCode.NO_DEPTH, 0.0)
    assert re.search(
        r'did not arrive within depth.max_delay, 0.1 s; depth usually comes (29|3.). ms', last.depth_message
    )


def test_constant_offset_names_a_value_that_works(graph: Graph):
    values = {'instruction': 'red', 'depth.enabled': True, 'depth.max_offset': 0.002}
    node, answers = graph.segmenter(warmup=False, **values), graph.subscribe()
    # A little after the image: nearer than the depth of any other image.
    stream = RgbdStream(graph, offset_ns=10_000_000)
    stream.play(45)
    assert 'depth is always stamped 10 ms after its image: set depth.max_offset to 0.015' in answers[-1].depth_message
    answers.clear()
    assert graph.set_parameter(node, 'depth.max_offset', 0.015).successful
    stream.play(30)
    assert answers[-1].instances[0].size.x > 0


@pytest.mark.slow
def test_depth_that_stops_and_comes_back(graph: Graph):
    answers = start(graph)
    stream = RgbdStream(graph)
    warm_up(stream, answers)
    stream.every = 0
    stream.play(105)
    without = [answer for answer in answers if answer.points_error_code]
    assert without
    assert 'no depth has arrived for' in without[-1].depth_message
    assert without[-1].latency < 0.4, 'depth that does not come is not waited for'
    answers.clear()
    stream.every = 1
    stream.play(45)
    assert share_with_boxes(answers[-20:]) == 1.0


def test_requests_do_not_wait_behind_the_stream(graph: Graph):
    answers = start(graph, **{'depth.max_delay': 5.0})
    stream = RgbdStream(graph)
    stream.play(20)
    # Depth is expected but late: the stream waits.
    image = graph.image('green')
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    stream.every = 0
    stream.play(5)
    waiting_from_s = time.monotonic()
    response = graph.call(client, Segment.Request(instruction='blue', image=image))
    assert response.success
    assert time.monotonic() - waiting_from_s < 1.5
    assert answers


def test_deactivation_ends_requests_that_wait_for_depth(graph: Graph):
    values = {'instruction': '', 'depth.enabled': True, 'depth.max_delay': 10.0, 'request_timeout': 60.0}
    node = graph.segmenter(warmup=False, **values)
    RgbdStream(graph).play(10)
    image = graph.image('red')
    image.header.stamp = make_stamp(time.time_ns() + 500_000_000)  # its depth has not come
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    assert client.wait_for_service(10)
    future = client.call_async(Segment.Request(instruction='red', image=image))
    graph.wait_for(lambda: node.pipeline.waiting == 1, 'the result to wait')
    assert not future.done()
    graph.run_in_executor(node.trigger_deactivate)
    graph.wait_for(future.done, 'the reply')
    assert (future.result().success, future.result().error_code) == (False, ErrorCode.CANCELED)
    assert node.pipeline.waiting == 0


class Camera:
    """Publishes its pose at 5 Hz, each 200 ms after the previous one, as robots with slow joint states do."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._publisher: Any = None

    def publish(self, index: int, stamp: Time) -> None:
        if index % 6:
            return
        pose = np.diag((1.0, -1.0, -1.0, 1.0))
        pose[2, 3] = 1.0
        header = Header(stamp=stamp, frame_id='table')
        transform = make_transform(pose, header, 'camera_optical_frame')
        if sys.modules['tf2_ros'].__file__ is None:
            tf2_substitute.TransformListener.last.buffer.set_transform(transform, '')
            return
        from tf2_msgs.msg import TFMessage

        self._publisher = self._publisher or self._graph.peer.create_publisher(TFMessage, '/tf', 10)
        self._publisher.publish(TFMessage(transforms=[transform]))


@pytest.fixture(params=['substitute', 'tf2_ros'])
def camera(graph: Graph, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Camera:
    if request.param == 'substitute':
        tf2_substitute.install(monkeypatch)
    pytest.importorskip('tf2_ros')
    return Camera(graph)


@pytest.mark.parametrize(
    ('timeout_s', 'low', 'high'), [(1.0, 0.97, 1.0), pytest.param(0.0, 0.0, 0.5, marks=pytest.mark.slow)]
)
def test_transforms_at_5_hz(graph: Graph, camera: Camera, timeout_s: float, low: float, high: float):
    answers = start(graph, **{'depth.box_frame': 'table', 'tf_timeout': timeout_s})
    stream = RgbdStream(graph, on_image=camera.publish)
    warm_up(stream, answers)
    stream.play(60)
    # The transform of the last images does not come.
    share = share_with_boxes(answers[:-8])
    assert low <= share <= high, f'{len(answers)} answers, {share:.2f} with boxes'
    assert answers[-20].points_error_code == ErrorCode.OK


def test_frame_that_does_not_exist_is_not_waited_for(graph: Graph, camera: Camera):
    answers = start(graph, **{'depth.box_frame': 'tabel', 'tf_timeout': 5.0})
    stream = RgbdStream(graph, on_image=camera.publish)
    stream.play(100)  # longer than frames that have not been discovered are waited for
    graph.wait_for(lambda: answers, 'answers')
    last = answers[-1]
    assert (last.points_error_code, last.boxes_error_code) == (ErrorCode.OK, ErrorCode.NO_TRANSFORM)
    assert 'no node has published such a frame' in last.depth_message
    assert last.latency < 0.5
