"""The frame in which boxes stand upright, with a stand-in for tf2_ros where that is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from std_msgs.msg import Header

from instructsam_model import ConfigError
from instructsam_ros.depth3d import upright
from instructsam_ros.depth3d.upright import CameraPoseLookup, UnknownPoseError, check_tf2
from instructsam_ros.messages.geometry import make_transform
from instructsam_ros.messages.stamp import make_stamp
from tests.support.documented_faults import check_documented
from tests.support.graph import Graph

STAMP = make_stamp(1_500_000_000)


class TransformError(Exception):
    pass


@pytest.fixture
def tf2(monkeypatch: pytest.MonkeyPatch) -> list[TransformStamped]:
    """What the stand-in knows: transforms into the frame of their header at its stamp."""
    known: list[TransformStamped] = []

    class Buffer:
        def lookup_transform(self, target: str, source: str, time: Time, timeout: Any) -> TransformStamped:
            assert 0 < timeout.nanoseconds <= 10**9
            for each in known:
                if (each.header.frame_id, each.child_frame_id, Time.from_msg(each.header.stamp)) == (
                    target,
                    source,
                    time,
                ):
                    return each
            raise TransformError(f'"{source}" passed to lookupTransform does not exist')

    class Listener:
        def __init__(self, buffer: Buffer, node: Any) -> None:
            self.node = node

        def unregister(self) -> None:
            pass

    module = ModuleType('tf2_ros')
    module.Buffer, module.TransformListener, module.TransformException = Buffer, Listener, TransformError
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    monkeypatch.setattr(upright, 'find_spec', lambda name: module)
    return known


def test_camera_pose_at_the_stamp_of_the_image(graph: Graph, tf2: list[TransformStamped]):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = ((0, -1, 0), (1, 0, 0), (0, 0, 1)), (1, 2, 3)
    for stamp, shift in ((make_stamp(0), 1.0), (STAMP, 0.0)):
        tf2.append(make_transform(pose + shift * np.eye(4, k=3), Header(stamp=stamp, frame_id='table'), 'camera'))
    check_tf2()
    frame = CameraPoseLookup(graph.peer, 'table')
    np.testing.assert_allclose(frame.camera_pose(Header(stamp=STAMP, frame_id='camera')), pose, atol=1e-12)
    said = r"no transform from 'camera' to depth.box_frame 'table'.*does not exist"
    with pytest.raises(UnknownPoseError, match=said):
        frame.camera_pose(Header(stamp=make_stamp(7), frame_id='camera'))
    frame.destroy()


def test_check_tf2_without_tf2_ros(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upright, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=r'depth.box_frame needs tf2_ros') as caught:
        check_tf2()
    check_documented(f'not configured: {caught.value}')


def test_node_is_not_configured_without_tf2_ros(graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]):
    monkeypatch.setattr(upright, 'find_spec', lambda name: None)
    node = graph.segmenter(autostart=False, **{'depth.enabled': True, 'depth.box_frame': 'base_link'})
    graph.run_in_executor(node.trigger_configure)
    assert node.state == 'unconfigured'
    graph.wait_for(lambda: 'not configured: depth.box_frame needs tf2_ros' in log(), 'the log to say why')
