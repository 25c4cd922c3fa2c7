"""Poses of cameras from /tf: with the real tf2_ros where it is installed, and with a substitute everywhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_model import ConfigError
from instructsam_ros.depth3d import transform_lookup
from instructsam_ros.depth3d.transform_lookup import MissingTransformError, TransformLookup, check_tf2
from instructsam_ros.messages.geometry import make_transform
from instructsam_ros.messages.stamp import make_stamp
from tests.support import tf2_substitute
from tests.support.documented_faults import check_documented
from tests.support.graph import Graph

SECOND_NS = 1_000_000_000
START_NS = 5_000 * SECOND_NS
LAP_NS = 25 * SECOND_NS
TIMEOUT_S = 0.5


class Poses:
    """A lookup, and transforms that are given to it."""

    def __init__(self, graph: Graph, *, is_real: bool) -> None:
        self.lookup = TransformLookup(graph.peer)
        self.graph = graph
        self._is_real = is_real
        self._topics: dict[bool, Any] = {}

    def add(self, stamp_ns: int, x: float = 0.0, *, child: str = 'camera', parent: str = 'table') -> None:
        """Give the transform that puts the child at x; it has arrived when this returns."""
        pose = np.eye(4)
        pose[0, 3] = x
        transform = make_transform(pose, Header(stamp=make_stamp(stamp_ns), frame_id=parent), child)
        if not self._is_real:
            tf2_substitute.TransformListener.last.buffer.set_transform(transform, '')
            return
        from tf2_msgs.msg import TFMessage

        publisher = self.graph.peer.create_publisher(TFMessage, '/tf', 10) if not self._topics else self._topics[True]
        self._topics[True] = publisher
        self.graph.wait_for(lambda: publisher.get_subscription_count() > 0, 'the listener')
        publisher.publish(TFMessage(transforms=[transform]))

    def x(self, stamp_ns: int, frame: str = 'camera', target: str = 'table', *, buffer: Any = None) -> float:
        header = Header(stamp=make_stamp(stamp_ns), frame_id=frame)
        return float(self.lookup.pose(target, header, buffer or self.lookup.buffer_of(header), TIMEOUT_S)[0, 3])

    def wait_for_x(self, stamp_ns: int, x: float) -> None:
        def is_there() -> bool:
            try:
                return self.x(stamp_ns) == pytest.approx(x)
            except MissingTransformError:
                return False

        self.graph.wait_for(is_there, 'the transform')

    def missing(self, stamp_ns: int, frame: str = 'camera', target: str = 'table') -> MissingTransformError:
        with pytest.raises(MissingTransformError) as caught:
            self.x(stamp_ns, frame, target)
        return caught.value


@pytest.fixture(params=['substitute', 'tf2_ros'])
def poses(graph: Graph, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Poses:
    if request.param == 'tf2_ros' and find_spec('tf2_ros') is None:
        pytest.skip('tf2_ros is not installed')
    if request.param == 'substitute':
        tf2_substitute.install(monkeypatch)
    return Poses(graph, is_real=request.param == 'tf2_ros')


def test_pose_at_the_stamp_of_the_image(poses: Poses):
    for tick in range(3):
        poses.add(START_NS + tick * SECOND_NS, float(tick))
    poses.wait_for_x(START_NS + 2 * SECOND_NS, 2.0)
    assert poses.x(START_NS + SECOND_NS) == pytest.approx(1.0)
    poses.lookup.destroy()


def test_transform_that_may_come_is_told_from_one_that_is_too_late(poses: Poses):
    poses.add(START_NS - SECOND_NS)
    poses.add(START_NS)
    poses.wait_for_x(START_NS, 0.0)
    soon = poses.missing(START_NS + 200_000_000)
    assert soon.may_come
    said = 'the newest transform is 200 ms older, and none came within tf_timeout, 0.5 s'
    assert said in str(soon)
    check_documented(f'no 3D boxes: {soon}')
    check_documented(f'no 3D: {soon}; target_frame needs it')
    assert not poses.missing(START_NS + 2 * SECOND_NS).may_come
    stopped = poses.missing(START_NS + 3600 * SECOND_NS)
    assert not stopped.may_come
    check_documented(f'no 3D boxes: {stopped}')
    past = poses.missing(START_NS - 2 * SECOND_NS)
    assert not past.may_come
    assert 'from before the first transform' in str(past)
    old = poses.missing(START_NS - 3600 * SECOND_NS)
    assert '3600.0 s older than the newest transform: the image is older than what tf2 keeps' in str(old)


def test_what_cannot_come_is_waited_for_only_at_the_start(poses: Poses, monkeypatch: pytest.MonkeyPatch):
    poses.add(START_NS)
    poses.add(START_NS, child='gripper', parent='arm')
    poses.graph.wait_for(lambda: 'connects their trees' in str(poses.missing(START_NS, 'gripper')), 'both transforms')
    causes = {('camera', 'tabel'): 'no node has published such a frame', ('gripper', 'table'): 'connects their trees'}
    for frame, target in causes:
        assert poses.missing(START_NS, frame, target).may_come
    monkeypatch.setattr(transform_lookup, 'DISCOVERY_S', 0.0)
    for (frame, target), said in causes.items():
        missing = poses.missing(START_NS, frame, target)
        assert said in str(missing)
        assert not missing.may_come
    assert not poses.missing(START_NS, '').may_come
    assert not poses.missing(-SECOND_NS).may_come


@pytest.mark.parametrize('clock_jump', ['none', 'before the transforms', 'after the first transform'])
def test_next_lap_of_a_bag(poses: Poses, clock_jump: str):
    for tick in range(26):
        poses.add(START_NS + tick * SECOND_NS, 1.0)
    poses.wait_for_x(START_NS + LAP_NS, 1.0)
    last = Header(stamp=make_stamp(START_NS + LAP_NS), frame_id='camera')
    buffer = poses.lookup.buffer_of(last)
    if clock_jump == 'before the transforms':
        poses.lookup.restart(START_NS)
    for tick in range(3):
        poses.add(START_NS + tick * SECOND_NS, 2.0)
        if tick == 0 and clock_jump == 'after the first transform':
            poses.wait_for_x(START_NS, 2.0)
            poses.lookup.restart(START_NS)
    poses.wait_for_x(START_NS, 2.0)
    poses.wait_for_x(START_NS + 2 * SECOND_NS, 2.0)
    # Images of the lap before: one that the model has just finished, and one that arrives late.
    assert poses.x(START_NS + LAP_NS, buffer=buffer) == poses.x(START_NS + LAP_NS) == pytest.approx(1.0)
    # So do transforms.
    poses.add(START_NS + LAP_NS + SECOND_NS // 10, 1.0)
    poses.add(START_NS + 3 * SECOND_NS, 2.0)
    poses.wait_for_x(START_NS + 3 * SECOND_NS, 2.0)
    assert poses.x(START_NS) == pytest.approx(2.0)


def test_clock_that_is_switched_forgets_all_transforms(poses: Poses):
    poses.add(START_NS)
    poses.wait_for_x(START_NS, 0.0)
    poses.lookup.restart(None)
    poses.missing(START_NS)


def test_two_publishers_with_different_clocks_do_not_clear_the_buffer_forever(poses: Poses):
    for tick in range(20):
        poses.add(START_NS + tick * SECOND_NS, 1.0)
        poses.add(START_NS + (tick - 3) * SECOND_NS, 2.0)
    poses.wait_for_x(START_NS + 19 * SECOND_NS, 1.0)
    assert poses.x(START_NS + 12 * SECOND_NS)


def test_small_steps_back_are_no_jump(poses: Poses):
    poses.add(START_NS - SECOND_NS, 1.0)
    poses.add(START_NS, 1.0)
    poses.add(START_NS - 30_000_000, 1.0)
    poses.wait_for_x(START_NS, 1.0)
    assert poses.x(START_NS - SECOND_NS) == pytest.approx(1.0)


@pytest.mark.parametrize('parameter', ['depth.box_frame', 'target_frame'])
def test_check_tf2_without_tf2_ros(monkeypatch: pytest.MonkeyPatch, parameter: str):
    monkeypatch.setattr(transform_lookup, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=f'{parameter} needs tf2_ros') as caught:
        check_tf2(parameter)
    check_documented(f'not configured: {caught.value}')


def test_node_is_not_configured_without_tf2_ros(graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]):
    monkeypatch.setattr(transform_lookup, 'find_spec', lambda name: None)
    node = graph.segmenter(autostart=False, **{'depth.enabled': True, 'depth.box_frame': 'base_link'})
    graph.run_in_executor(node.trigger_configure)
    assert node.state == 'unconfigured'
    graph.wait_for(lambda: 'not configured: depth.box_frame needs tf2_ros' in log(), 'the log to say why')
