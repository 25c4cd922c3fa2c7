"""The node while /clock jumps: one log line, and new ids."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from instructsam_ros.messages.stamp import make_stamp
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS


def test_laps_of_a_bag_and_a_switch_of_the_clock(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(instruction='red', use_sim_time=True, max_age=5.0)
    answers, camera = graph.subscribe(), graph.camera()
    clock = graph.peer.create_publisher(Clock, '/clock', QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    now_ns = START_NS

    def image() -> Image:
        nonlocal now_ns
        now_ns += SECOND_NS // 10
        clock.publish(Clock(clock=make_stamp(now_ns)))
        message = graph.image('red')
        message.header.stamp = make_stamp(now_ns)
        return message

    def play_until_ids(ids: list[str]) -> None:
        graph.publish_images(
            camera, until=lambda: answers and [each.id for each in answers[-1].instances] == ids, make=image
        )

    graph.publish_images(
        camera, until=lambda: node.get_clock().now().nanoseconds > START_NS + 20 * SECOND_NS, make=image
    )
    play_until_ids(['1'])
    now_ns = START_NS
    play_until_ids(['2'])
    assert node.get_clock().now().nanoseconds < START_NS + 20 * SECOND_NS
    assert log().count('start over') == 1
    now_ns += 1_000 * SECOND_NS  # a jump forward, as by a user who skips a part of a bag
    graph.publish_images(camera, until=lambda: answers[-1].header.stamp.sec > 1_900, make=image)
    assert [each.id for each in answers[-1].instances] == ['2']
    assert node.scheduler.images_too_old == 0
    assert log().count('start over') == 1
    text = 'use_sim_time was set to false: transforms, depth and object ids start over'
    graph.run_in_executor(lambda: node.set_parameters([Parameter('use_sim_time', value=False)]))
    check_documented(logged(graph, log, text))


def test_bag_without_clock(graph: Graph, log: Callable[[], str]):
    graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert answers[-1].instances[0].id == '1'

    def image() -> Image:
        message = graph.image('red')
        message.header.stamp.sec -= 25
        return message

    graph.publish_images(camera, until=lambda: answers[-1].instances[0].id == '2', make=image)
    assert log().count('start over') == 1
