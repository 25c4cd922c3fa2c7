"""Instructions from every kind of publisher, and warnings if no images arrive."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from instructsam_model import Frame, Segmentation
from instructsam_ros.messages.image import make_image
from instructsam_ros.node.segmenter_node import SegmenterNode
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph
from tests.support.image_messages import compressed_message, encoded


def instruction_of(node: SegmenterNode) -> str | None:
    instruction = node.instructions.instruction
    return None if instruction is None else instruction.text


@pytest.mark.parametrize('latched', [False, True], ids=['volatile', 'latched'])
def test_receives_instructions_of_an_earlier_publisher(graph: Graph, latched: bool):
    planner = graph.instruction_publisher(latched=latched)
    planner.publish(String(data='from before'))
    node = graph.segmenter(instruction='from the parameter')
    if latched:
        graph.wait_for(lambda: instruction_of(node) == 'from before', 'the latched instruction')
    for text in ('first', 'second'):
        graph.publish_instruction(planner, text, until=lambda text=text: instruction_of(node) == text)


def test_receives_the_latched_instruction_of_a_new_publisher(graph: Graph):
    """On another participant, as always in practice: it sends before the node has found it."""
    node = graph.segmenter()
    context = Context()
    rclpy.init(args=[], context=context)
    planner = Node('planner', context=context)
    try:
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        planner.create_publisher(String, 'segmenter/instruction', qos).publish(String(data='at once'))
        graph.wait_for(lambda: instruction_of(node) == 'at once', 'the instruction')
    finally:
        planner.destroy_node()
        context.try_shutdown()


def test_each_latched_message_is_processed_once(graph: Graph):
    node = graph.segmenter()
    planner = graph.instruction_publisher(latched=True)
    planner.publish(String(data='warm up'))
    graph.wait_for(lambda: instruction_of(node) == 'warm up', 'the first')
    changes = []
    node.instructions.set_instruction = changes.append
    texts = [str(number) for number in range(20)]
    for text in texts:
        planner.publish(String(data=text))
        time.sleep(0.005)
    graph.wait_for(lambda: changes and changes[-1].text == texts[-1], 'the last')
    received = [int(instruction.text) for instruction in changes]
    assert received == sorted(set(received)), 'no instruction comes back after a newer one'


def activate_and_wait(graph: Graph, node: SegmenterNode) -> None:
    """Activate the node and wait until it has received a latched message, ignored or not."""
    before = node.instruction_topic.latched_count
    graph.run_in_executor(node.trigger_activate)
    graph.wait_for(lambda: node.instruction_topic.latched_count > before, 'the latched message')


def test_old_latched_instruction_does_not_replace_a_newer_one(graph: Graph):
    latching, live = graph.instruction_publisher(latched=True), graph.instruction_publisher()
    latching.publish(String(data='old'))
    node = graph.segmenter()
    graph.wait_for(lambda: instruction_of(node) == 'old', 'the latched instruction')
    graph.publish_instruction(live, 'new', until=lambda: instruction_of(node) == 'new')
    graph.run_in_executor(node.trigger_deactivate)
    activate_and_wait(graph, node)
    assert instruction_of(node) == 'new'


def test_instruction_latched_while_inactive_is_used(graph: Graph):
    planner, node = graph.instruction_publisher(latched=True), graph.segmenter(instruction='set')
    graph.run_in_executor(node.trigger_deactivate)
    planner.publish(String(data='meanwhile'))
    activate_and_wait(graph, node)
    assert instruction_of(node) == 'meanwhile'


def test_parameter_replaces_an_earlier_latched_instruction(graph: Graph):
    planner, node = graph.instruction_publisher(latched=True), graph.segmenter()
    graph.run_in_executor(node.trigger_deactivate)
    planner.publish(String(data='latched'))
    graph.set_instruction(node, 'set')
    activate_and_wait(graph, node)
    assert instruction_of(node) == 'set'


def test_empty_instruction_means_idle_and_a_long_one_is_ignored(graph: Graph, log: Callable[[], str]):
    node, planner = graph.segmenter(), graph.instruction_publisher()
    graph.publish_instruction(planner, 'red', until=lambda: instruction_of(node) == 'red')
    planner.publish(String(data='x' * 10_000))
    graph.wait_for(lambda: 'at most 4096 characters, got 10000' in log(), 'a warning')
    assert instruction_of(node) == 'red'
    planner.publish(String(data=' '))
    graph.wait_for(lambda: instruction_of(node) is None, 'the node to be idle')


def test_no_publisher_gets_an_incompatible_qos_warning(graph: Graph, log: Callable[[], str]):
    node, planner = graph.segmenter(), graph.instruction_publisher()
    graph.publish_instruction(planner, 'red', until=lambda: instruction_of(node) == 'red')
    assert "instruction: 'red'" in log()
    assert 'incompatible' not in log()


def test_repeated_instruction_is_logged_once(graph: Graph, log: Callable[[], str]):
    node, planner = graph.segmenter(), graph.instruction_publisher()
    for text in ('red', 'red', 'blue'):
        graph.publish_instruction(planner, text, until=lambda text=text: instruction_of(node) == text)
        planner.publish(String(data=text))
    graph.publish_instruction(planner, 'end', until=lambda: instruction_of(node) == 'end')
    assert [log().count(f"instruction: '{text}'") for text in ('red', 'blue', 'end')] == [1, 1, 1]


def test_warns_once_without_an_image_publisher(graph: Graph, log: Callable[[], str]):
    graph.segmenter(image_timeout=0.1)
    said = "no publisher on '/image'; check the remapping of 'image'"
    graph.wait_for(lambda: said in log(), 'the warning')
    time.sleep(2.2)
    assert log().count(said) == 1


def test_warning_without_images_names_both_qos(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(
        image_timeout=0.1, **{'qos_overrides./image.subscription.reliability': 'reliable'}, autostart=False
    )
    camera = graph.camera()
    graph.run_in_executor(node.trigger_configure)
    graph.run_in_executor(node.trigger_activate)
    graph.wait_for(lambda: 'although there are publishers' in log(), 'the warning')
    assert 'camera offers best_effort, volatile; this node requests' in log()
    assert 'this node requests reliable, volatile, keep last 1. ' in log()
    camera.publish(graph.image())
    assert node.statistics.received == 0


def test_logs_when_images_arrive_again(graph: Graph, log: Callable[[], str]):
    graph.segmenter(image_timeout=0.1)
    graph.wait_for(lambda: 'no image for' in log(), 'the warning')
    said = "images arrive again on '/image'"
    graph.publish_images(graph.camera(), until=lambda: said in log())


def test_qos_of_images_can_be_overridden(graph: Graph):
    overrides = {
        'qos_overrides./image.subscription.reliability': 'reliable',
        'qos_overrides./image.subscription.depth': 3,
    }
    node = graph.segmenter(FakeSegmenter(), instruction='red', **overrides)
    [info] = node.get_subscriptions_info_by_topic('image')
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    answers = graph.subscribe()
    graph.publish_images(graph.camera(reliable=True), until=lambda: answers)
    graph.run_in_executor(node.trigger_deactivate)
    graph.run_in_executor(node.trigger_activate)
    answers.clear()
    graph.publish_images(graph.camera(reliable=True), until=lambda: answers)


def test_image_that_was_published_once_before_the_node_is_received_in_each_activation(graph: Graph):
    """A static image of a latched publisher, such as `ros2 topic pub --once --qos-durability transient_local`."""
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.peer.create_publisher(Image, 'image', qos).publish(graph.image('red'))
    node = graph.segmenter(instruction='red')
    answers = graph.subscribe()
    graph.wait_for(lambda: node.statistics.received == 1, 'the image')
    graph.run_in_executor(node.trigger_deactivate)
    graph.run_in_executor(node.trigger_activate)
    graph.wait_for(lambda: node.statistics.received == 2, 'the image again')
    graph.wait_for(lambda: answers, 'a result')


def test_remapping_of_the_image_holds_for_the_compressed_one(graph: Graph):
    node = graph.add(
        SegmenterNode(
            lambda *_, **__: FakeSegmenter(),
            context=graph.context,
            parameter_overrides=[Parameter('image_transport', value='compressed')],
            cli_args=['--ros-args', '-r', 'image:=/cam/color'],
        )
    )
    graph.wait_for(lambda: node.state == 'active', 'the node to be active')
    assert [each.topic for each in node.images] == ['/cam/color/compressed']
    graph.publish_images(
        graph.camera(topic='/cam/color/compressed'),
        make=lambda: compressed_message(encoded('.png', np.zeros((8, 8, 3), np.uint8)), 'png'),
        until=lambda: node.statistics.received,
    )


class Photometer(FakeSegmenter):
    """Remembers the brightest pixel of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.brightest: list[int] = []

    def segment(self, frame: Frame, *args: Any, **kwargs: Any) -> Segmentation:
        self.brightest.append(int(frame.image_rgb.max()))
        return super().segment(frame, *args, **kwargs)


def test_brightness_of_16_bit_images_does_not_jump_with_the_brightest_pixel(graph: Graph):
    photometer = Photometer()
    graph.segmenter(photometer, instruction='red')
    camera = graph.camera()
    for top, brightness in ((4000, 250), (1000, 62)):
        make = lambda top=top: make_image(np.full((8, 8), top, np.uint16), 'mono16', graph.header())  # noqa: E731
        graph.publish_images(camera, make=make, until=lambda brightness=brightness: brightness in photometer.brightest)
    assert set(photometer.brightest) == {250, 62}, '1000 of 12 bits is dark, although it fits in 10 bits'
