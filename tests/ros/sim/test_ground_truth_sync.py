"""Messages of the simulated camera, grouped by stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rclpy.publisher import Publisher
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_box_marker
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.sim import ground_truth_sync
from instructsam_ros.sim.ground_truth_sync import TOPICS, GroundTruthSynchronizer
from tests.support.graph import Graph

SIZE_WH = (8, 6)


def messages(value: int, header: Header) -> dict[str, Any]:
    """All messages of one image; every pixel and size is `value`."""
    flat = np.full(SIZE_WH[::-1], value)
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, float(value)))
    return {
        'image': make_image(np.stack([flat.astype(np.uint8)] * 3, axis=2), 'rgb8', header),
        'depth/image': make_depth(flat.astype(np.float32), '32FC1', header),
        'camera_info': make_camera_info(np.diag((value, value, 1.0)), SIZE_WH, header),
        'sim_camera/ground_truth/labels': make_image(flat.astype(np.uint16), 'mono16', header),
        'sim_camera/ground_truth/boxes': MarkerArray(
            markers=[
                Marker(header=header, action=Marker.DELETEALL),
                make_box_marker(box, 3, ColorRGBA(), header),
            ]
        ),
    }


@pytest.fixture
def camera(graph: Graph) -> dict[str, Publisher[Any]]:
    return {topic: graph.peer.create_publisher(kind, topic, 10) for topic, kind in TOPICS.items()}


def test_sample_is_available_once_all_messages_have_arrived(graph: Graph, camera: dict[str, Publisher[Any]]):
    synchronizer = GroundTruthSynchronizer(graph.peer)
    graph.wait_for(lambda: all(each.get_subscription_count() for each in camera.values()), 'discovery')
    first, second = graph.header(), graph.header()
    for topic, message in messages(2, second).items():
        camera[topic].publish(message)
    for topic, message in messages(1, first).items():
        if topic != 'camera_info':
            camera[topic].publish(message)
    stamps_ns = [read_stamp_ns(header.stamp) for header in (first, second)]
    graph.wait_for(lambda: synchronizer.get(stamps_ns[1]) is not None, 'the second sample')
    assert synchronizer.get(stamps_ns[0]) is None
    camera['camera_info'].publish(messages(1, first)['camera_info'])
    graph.wait_for(lambda: synchronizer.get(stamps_ns[0]) is not None, 'the first sample')
    for value, stamp_ns in enumerate(stamps_ns, start=1):
        sample = synchronizer.get(stamp_ns)
        assert sample is not None
        for pixels in (sample.image_rgb, sample.depth_m, sample.labels, sample.camera.intrinsics.diagonal()[:2]):
            assert (pixels == value).all()
        assert list(sample.boxes) == [3]
        assert sample.boxes[3].size_m.tolist() == [value] * 3
    synchronizer.clear()
    assert synchronizer.get(stamps_ns[0]) is None


def test_oldest_messages_are_dropped(graph: Graph, camera: dict[str, Publisher[Any]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ground_truth_sync, 'BUFFER_SIZE', 2)
    synchronizer = GroundTruthSynchronizer(graph.peer)
    graph.wait_for(lambda: all(each.get_subscription_count() for each in camera.values()), 'discovery')
    stamps_ns = []
    for value in range(1, 4):
        header = graph.header()
        stamps_ns.append(read_stamp_ns(header.stamp))
        for topic, message in messages(value, header).items():
            camera[topic].publish(message)
        graph.wait_for(lambda: synchronizer.get(stamps_ns[-1]) is not None, 'the sample')
    assert [synchronizer.get(stamp_ns) is not None for stamp_ns in stamps_ns] == [False, True, True]
