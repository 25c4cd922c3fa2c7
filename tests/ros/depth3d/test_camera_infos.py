"""Calibrations and depth of every transport: sent once, before the node or while it is inactive, by any publisher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from instructsam_ros.depth3d import camera_infos
from instructsam_ros.depth3d.camera_infos import CameraInfos
from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph
from tests.support.image_messages import compressed_depth_message, compressed_message, encoded

INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
DEPTH_M = np.full((48, 64), 0.5, dtype=np.float32)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Make = Callable[[np.ndarray], Any]


def start(graph: Graph, **parameters: Any) -> Any:
    return graph.segmenter(**{'instruction': 'red', 'depth.enabled': True, **parameters})


def info(graph: Graph) -> CameraInfo:
    return make_camera_info(INTRINSICS, (64, 48), graph.header())


def wait_for_box(graph: Graph, depth: Any, make: Make) -> Any:
    """Publish images with depth until an answer has a box; return the instance."""
    answers = graph.subscribe()

    def make_both() -> Image:
        image = graph.image('red')
        message = make(DEPTH_M)
        message.header = image.header
        depth.publish(message)
        return image

    def found() -> list[Any]:
        return [each for answer in list(answers) for each in answer.instances if each.size.x > 0]

    graph.publish_images(graph.camera(), make=make_both, until=found)
    return found()[0]


def raw_depth(graph: Graph) -> tuple[Any, Make]:
    publisher = graph.peer.create_publisher(Image, 'depth/image', 5)
    return publisher, lambda depth_m: make_depth(depth_m, '32FC1', graph.header())


def test_calibration_that_was_sent_once_before_the_node(graph: Graph):
    graph.peer.create_publisher(CameraInfo, 'camera_info', LATCHED).publish(info(graph))
    start(graph)
    wait_for_box(graph, *raw_depth(graph))


def test_calibration_that_was_sent_once_holds_for_later_activations(graph: Graph):
    """The publisher is volatile: it sends nothing again to a new subscription."""
    node = start(graph, autostart=False)
    publisher = graph.peer.create_publisher(CameraInfo, 'camera_info', 1)
    graph.run_in_executor(node.trigger_configure)
    graph.wait_for(lambda: publisher.get_subscription_count() > 0, 'the subscription of the inactive node')
    publisher.publish(info(graph))
    depth = raw_depth(graph)
    for _ in range(2):
        graph.run_in_executor(node.trigger_activate)
        wait_for_box(graph, *depth)
        graph.run_in_executor(node.trigger_deactivate)


def test_static_scene_of_latched_publishers(graph: Graph):
    """Image, depth and calibration are sent once, before the node."""
    image = graph.image('red')
    for topic, message in (
        ('camera_info', info(graph)),
        ('depth/image', make_depth(DEPTH_M, '32FC1', image.header)),
        ('image', image),
    ):
        graph.peer.create_publisher(type(message), topic, LATCHED).publish(message)
    answers = graph.subscribe()
    # Depth may be received after the image.
    start(graph, **{'depth.max_delay': 5.0})
    graph.wait_for(lambda: answers, 'a result')
    assert answers[0].instances[0].size.x > 0, answers[0].message


@pytest.mark.parametrize('reliability', [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_publishers_of_every_qos(graph: Graph, reliability: ReliabilityPolicy, log: Callable[[], str]):
    qos = QoSProfile(depth=7, reliability=reliability)
    camera_info = graph.peer.create_publisher(CameraInfo, 'camera_info', qos)
    depth = graph.peer.create_publisher(Image, 'depth/image', qos)
    start(graph)

    def make(depth_m: np.ndarray) -> Image:
        camera_info.publish(info(graph))
        return make_depth(depth_m, '16UC1', graph.header())

    wait_for_box(graph, depth, make)
    assert 'New publisher discovered' not in log()


def test_first_calibration_is_waited_for_only_shortly_after_the_subscription(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
):
    infos = CameraInfos(graph.peer)
    assert not infos.is_expected('left')
    graph.run_in_executor(lambda: infos.subscribe(['left', 'right'], lambda _: None))
    assert infos.is_expected('left')
    graph.peer.create_publisher(CameraInfo, 'left/camera_info', LATCHED).publish(info(graph))
    graph.wait_for(lambda: infos.newest('left') is not None, 'the calibration')
    assert not infos.is_expected('left')
    monkeypatch.setattr(camera_infos, 'DISCOVERY_TIMEOUT_S', 0.0)
    assert not infos.is_expected('right')
    graph.run_in_executor(infos.unsubscribe)
    assert infos.newest('left') is None


def test_one_subscription_to_camera_info(graph: Graph):
    node = start(graph)
    graph.wait_for(lambda: node.get_subscriptions_info_by_topic('camera_info'), 'the subscription')
    assert len(node.get_subscriptions_info_by_topic('camera_info')) == 1
    graph.run_in_executor(node.trigger_deactivate)
    assert len(node.get_subscriptions_info_by_topic('camera_info')) == 1
    graph.run_in_executor(node.trigger_cleanup)
    graph.wait_for(lambda: not node.get_subscriptions_info_by_topic('camera_info'), 'the end of the subscription')


def test_qos_of_depth_and_calibration_can_be_overridden(graph: Graph):
    name = 'qos_overrides.{}.subscription.reliability'
    overrides = {name.format(topic): 'reliable' for topic in ('/depth/image', '/camera_info')}
    node = start(graph, **overrides)
    for topic in ('depth/image', 'camera_info'):
        graph.wait_for(lambda topic=topic: node.get_subscriptions_info_by_topic(topic), f'the subscription to {topic}')
        [each] = node.get_subscriptions_info_by_topic(topic)
        assert each.qos_profile.reliability == ReliabilityPolicy.RELIABLE, topic


@pytest.mark.parametrize(
    ('transport', 'make'),
    [
        ('compressedDepth', lambda depth_m: compressed_depth_message(depth_m, 'png')),
        ('compressedDepth', lambda depth_m: compressed_depth_message(depth_m, 'rvl')),
        ('compressedDepth', lambda depth_m: compressed_depth_message(np.uint16(depth_m * 1000), 'rvl')),
        (
            'compressed',
            lambda depth_m: compressed_message(encoded('.png', np.uint16(depth_m * 1000)), '16UC1; png compressed '),
        ),
    ],
    ids=['PNG', 'RVL', 'RVL of 16UC1', 'compressed PNG'],
)
def test_depth_of_other_transports(graph: Graph, transport: str, make: Make):
    graph.peer.create_publisher(CameraInfo, 'camera_info', LATCHED).publish(info(graph))
    start(graph, **{'depth.image_transport': transport})
    depth = graph.peer.create_publisher(CompressedImage, f'depth/image/{transport}', 5)
    assert wait_for_box(graph, depth, make).pose.position.z == pytest.approx(0.5, abs=0.01)


def test_advice_if_only_compressed_depth_is_published(graph: Graph, log: Callable[[], str]):
    graph.peer.create_publisher(CompressedImage, 'depth/image/compressedDepth', 5)
    start(graph)
    graph.publish_images(graph.camera(), until=lambda: 'no 3D: ' in log())
    check_documented(logged(graph, log, 'no 3D: '))


def test_lossy_depth_is_refused(graph: Graph, log: Callable[[], str]):
    graph.peer.create_publisher(CameraInfo, 'camera_info', LATCHED).publish(info(graph))
    start(graph, **{'depth.image_transport': 'compressed', 'depth.max_delay': 0.0, 'depth.max_offset': 1.0})
    depth = graph.peer.create_publisher(CompressedImage, 'depth/image/compressed', 5)

    def make() -> Image:
        image = graph.image('red')
        message = compressed_message(encoded('.jpg', np.zeros((48, 64), np.uint8)), '16UC1; jpeg compressed mono8')
        message.header = image.header
        depth.publish(message)
        return image

    graph.publish_images(graph.camera(), make=make, until=lambda: 'compressed depth: ' in log())
    check_documented(logged(graph, log, 'compressed depth: '))
