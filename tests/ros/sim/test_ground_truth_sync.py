"""What a camera says with one stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rclpy.publisher import Publisher
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.geometry import make_camera_info
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_box_marker
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.sim import ground_truth_sync
from instructsam_ros.sim.ground_truth_sync import TOPICS, GroundTruthSynchronizer
from tests.support.graph import Graph

SIZE_WH = (8, 6)


def messages(value: int, header: Header) -> dict[str, Any]:
    """All that a camera says, with a value in it that tells moments apart."""
    flat = np.full(SIZE_WH[::-1], value)
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, float(value)))
    return {
        'image': make_image(np.stack([flat.astype(np.uint8)] * 3, axis=2), 'rgb8', header),
        'depth/image': make_depth(flat.astype(np.float32), '32FC1', header),
        'camera_info': make_camera_info(np.diag((value, value, 1.0)), SIZE_WH, header),
        'sim_camera/truth/labels': make_image(flat.astype(np.uint16), 'mono16', header),
        'sim_camera/truth/boxes': MarkerArray(
            markers=[
                Marker(header=header, action=Marker.DELETEALL),
                make_box_marker(box, 3, ColorRGBA(), header),
            ]
        ),
    }


@pytest.fixture
def camera(graph: Graph) -> dict[str, Publisher[Any]]:
    return {topic: graph.peer.create_publisher(kind, topic, 10) for topic, kind in TOPICS.items()}


def test_a_moment_is_whole_when_all_of_it_has_arrived(graph: Graph, camera: dict[str, Publisher[Any]]):
    heard = GroundTruthSynchronizer(graph.peer)
    graph.wait_for(lambda: all(each.get_subscription_count() for each in camera.values()), 'the camera to be heard')
    first, second = graph.header(), graph.header()
    for topic, message in messages(2, second).items():
        camera[topic].publish(message)
    for topic, message in messages(1, first).items():
        if topic != 'camera_info':
            camera[topic].publish(message)
    stamps_ns = [read_stamp_ns(header.stamp) for header in (first, second)]
    graph.wait_for(lambda: heard.at(stamps_ns[1]) is not None, 'the second moment')
    assert heard.at(stamps_ns[0]) is None
    camera['camera_info'].publish(messages(1, first)['camera_info'])
    graph.wait_for(lambda: heard.at(stamps_ns[0]) is not None, 'the first moment')
    for value, stamp_ns in enumerate(stamps_ns, start=1):
        moment = heard.at(stamp_ns)
        assert moment is not None
        for pixels in (moment.image_rgb, moment.depth_m, moment.labels, moment.intrinsics.diagonal()[:2]):
            assert (pixels == value).all()
        assert list(moment.boxes) == [3]
        assert moment.boxes[3].size_m.tolist() == [value] * 3
    heard.clear()
    assert heard.at(stamps_ns[0]) is None


def test_the_oldest_are_forgotten(graph: Graph, camera: dict[str, Publisher[Any]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ground_truth_sync, 'KEPT', 2)
    heard = GroundTruthSynchronizer(graph.peer)
    graph.wait_for(lambda: all(each.get_subscription_count() for each in camera.values()), 'the camera to be heard')
    stamps_ns = []
    for value in range(3):
        header = graph.header()
        stamps_ns.append(read_stamp_ns(header.stamp))
        for topic, message in messages(value, header).items():
            camera[topic].publish(message)
        graph.wait_for(lambda: heard.at(stamps_ns[-1]) is not None, 'the moment')
    assert [heard.at(stamp_ns) is not None for stamp_ns in stamps_ns] == [False, True, True]
