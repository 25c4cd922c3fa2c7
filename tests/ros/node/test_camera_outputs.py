"""Results that are out of date vanish from all topics."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_ros.messages.compressed_image import read_compressed_image
from instructsam_ros.messages.image import read_image
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.camera_outputs import CameraOutputs
from instructsam_ros.node.output_options import OutputOptions
from instructsam_ros.node.outputs import OUTPUTS
from tests.support.graph import Graph
from tests.support.results import make_result

NOT_CANCELED = threading.Event()
NEVER_EMPTY = {'target/pose', 'target/grasp_samples'}
"""A pose and samples of a target cannot be empty."""
REASON = "replaced by 'the blue mug'"


@dataclass
class Display:
    """Outputs of a camera and what a display has received of each topic."""

    graph: Graph
    outputs: CameraOutputs
    topics: dict[str, list[Any]] = field(default_factory=dict)

    def run(self, action: Callable[[], Any], **counts: int) -> None:
        """Run an action and wait until topics have this number of new messages in total."""
        before = {name: len(self.topics[name]) for name in counts}
        self.graph.run_in_executor(action)
        for name, count in counts.items():
            self.graph.wait_for(lambda name=name, count=count: len(self.topics[name]) >= before[name] + count, name)


@pytest.fixture
def display(graph: Graph) -> Display:
    node = graph.add(LifecycleNode('segmenter', context=graph.context))
    outputs = CameraOutputs(node)
    display = Display(graph, outputs)
    for output in OUTPUTS:
        if output.is_available:
            display.topics[output.name] = graph.subscribe(f'segmenter/{output.name}', output.message_type)
    graph.run_in_executor(node.trigger_configure)
    graph.run_in_executor(node.trigger_activate)
    graph.wait_for(lambda: all(graph.peer.count_publishers(f'/segmenter/{name}') for name in display.topics), 'topics')
    graph.wait_for(lambda: all(graph.peer.count_subscribers(f'/segmenter/{name}') for name in display.topics), 'topics')
    # A first result that all topics receive shows that discovery is over; then it is withdrawn.
    graph.wait_for(lambda: all(display.topics.values()) or _publish_again(display), 'the first messages', period_s=0.1)
    graph.run_in_executor(lambda: outputs.withdraw_all('end of discovery'))
    graph.wait_for(lambda: display.topics['segmentation'][-1].status == Segmentation.WITHDRAWN, 'the withdrawal')
    graph.wait_for(lambda: display.topics['overlay/compressed'], 'the last topic')
    for messages in display.topics.values():
        messages.clear()
    return display


def _publish_again(display: Display) -> None:
    display.graph.run_in_executor(lambda: display.outputs.publish(make_result('red'), NOT_CANCELED))


def shown(array: MarkerArray) -> list[str]:
    """The labels that a display shows after an array that begins with DELETEALL."""
    assert array.markers[0].action == Marker.DELETEALL
    return [each.text for each in array.markers if each.type == Marker.TEXT_VIEW_FACING and each.text]


def test_a_withdrawn_instruction_vanishes_from_every_topic_once(display: Display):
    result, topics = make_result('red', 'green'), display.topics
    display.run(lambda: display.outputs.publish(result, NOT_CANCELED), **dict.fromkeys(topics, 1))
    assert np.any(topics['labels'][-1].data)

    def withdraw_twice() -> None:
        display.outputs.withdraw('red green', REASON)
        display.outputs.withdraw('red green', REASON)
        display.outputs.withdraw('another', REASON)

    display.run(withdraw_twice, **dict.fromkeys(topics.keys() - NEVER_EMPTY, 1))
    # A later message on each topic shows that nothing else comes before it.
    display.run(lambda: display.outputs.publish(make_result('blue'), NOT_CANCELED), **dict.fromkeys(topics, 1))
    counts = {name: len(messages) for name, messages in topics.items()}
    expected = dict.fromkeys(topics, 3) | dict.fromkeys(topics.keys() & NEVER_EMPTY, 2)
    assert counts == expected | ({'collision_object': 5} if 'collision_object' in topics else {})

    said, header = topics['segmentation'][1], topics['labels'][0].header
    assert (said.status, said.instruction, said.message) == (Segmentation.WITHDRAWN, 'red green', REASON)
    assert (said.header, said.width, said.height, len(said.instances)) == (header, 64, 48, 0)
    assert (said.error_code, said.points_error_code, said.boxes_error_code) == (0, 0, 0)
    assert shown(topics['markers'][1]) == []
    assert result.frame is not None
    check_empty({name: messages[1] for name, messages in topics.items()}, header, result.frame.image_rgb)
    check_moveit(topics)


def check_empty(messages: dict[str, Any], header: Header, image_rgb: NDArray[np.uint8]) -> None:
    """Check the messages that withdraw a result about an image."""
    for name in ('labels', 'target/mask'):
        assert (messages[name].header, messages[name].width, messages[name].height) == (header, 64, 48)
        assert not np.any(messages[name].data)
    for name in ('points', 'target/points', 'instances/points'):
        assert (messages[name].header, messages[name].width, len(messages[name].data)) == (header, 0, 0)
        assert len(messages[name].fields) >= 4
    np.testing.assert_array_equal(read_image(messages['overlay']), image_rgb)
    assert messages['overlay/compressed'].header == header
    np.testing.assert_allclose(read_compressed_image(messages['overlay/compressed']).mean(), image_rgb.mean(), atol=2)
    for name in messages.keys() & {'detections', 'detections_3d'}:
        assert (messages[name].header, list(messages[name].detections)) == (header, [])


def check_moveit(topics: dict[str, list[Any]]) -> None:
    """Check that the objects of the first result are removed and that of the second is added."""
    if 'planning_scene' not in topics:
        return
    moveit = import_module('moveit_msgs.msg')
    added, removed = moveit.CollisionObject.ADD, moveit.CollisionObject.REMOVE
    changes = [each for scene in topics['planning_scene'] for each in scene.world.collision_objects]
    for messages in (changes, topics['collision_object']):
        operations = [(each.id, each.operation) for each in messages]
        assert operations == [('1', added), ('2', added), ('1', removed), ('2', removed), ('1', added)]


def test_instructions_that_share_the_topics_keep_their_markers(display: Display):
    outputs, topics = display.outputs, display.topics
    display.run(lambda: outputs.publish(make_result('red', text='red'), NOT_CANCELED), markers=1)
    display.run(lambda: outputs.publish(make_result('red', 'green', text='green'), NOT_CANCELED), markers=1)
    assert shown(topics['markers'][-1]) == ['green 0.90', 'red 0.90']
    # The other instruction has one instance less.
    display.run(lambda: outputs.publish(make_result('blue', text='green'), NOT_CANCELED), markers=1)
    assert shown(topics['markers'][-1]) == ['red 0.90']
    labels_before = len(topics['labels'])
    display.run(lambda: outputs.withdraw('red', REASON), segmentation=1, markers=1)
    assert shown(topics['markers'][-1]) == []
    # The label image is that of the other instruction and stays.
    display.run(lambda: outputs.publish(make_result('green', text='green'), NOT_CANCELED), labels=1, markers=1)
    assert len(topics['labels']) == labels_before + 1
    assert shown(topics['markers'][-1]) == ['green 0.90']


def test_a_failed_image_removes_the_objects_of_its_instruction(display: Display):
    outputs, topics = display.outputs, display.topics
    display.run(lambda: outputs.publish(make_result('red'), NOT_CANCELED), markers=1)
    failed = replace(make_result('red'), segmentation=None, geometry=None, error=RuntimeError('broke'))
    display.run(lambda: outputs.publish(failed, NOT_CANCELED), segmentation=1, markers=1, labels=1)
    assert topics['segmentation'][-1].status == Segmentation.FAILED
    assert shown(topics['markers'][-1]) == []
    assert not np.any(topics['labels'][-1].data)


def test_all_instructions_are_withdrawn_with_the_node_or_the_camera(display: Display):
    outputs, topics = display.outputs, display.topics
    for color in ('red', 'green'):
        display.run(lambda color=color: outputs.publish(make_result(color), NOT_CANCELED), segmentation=1)
    display.run(lambda: outputs.withdraw_all('the node was deactivated'), segmentation=2, markers=2)
    ends = topics['segmentation'][-2:]
    assert [each.instruction for each in ends] == ['red', 'green']
    assert {(each.status, each.message) for each in ends} == {(Segmentation.WITHDRAWN, 'the node was deactivated')}
    assert shown(topics['markers'][-1]) == []


def test_no_result_follows_its_withdrawal(display: Display):
    outputs, topics, canceled = display.outputs, display.topics, threading.Event()
    display.run(lambda: outputs.publish(make_result('red'), canceled), segmentation=1)

    def withdraw() -> None:
        canceled.set()
        outputs.withdraw('red', REASON)
        assert outputs.publish(make_result('red'), canceled) is None
        outputs.close('the node was deactivated')
        assert outputs.publish(make_result('green'), NOT_CANCELED) is None
        outputs.open()
        assert outputs.publish(make_result('blue'), NOT_CANCELED) is not None

    display.run(withdraw, segmentation=2)
    said = [(each.status, each.instruction) for each in topics['segmentation']]
    assert said[1:] == [(Segmentation.WITHDRAWN, 'red'), (Segmentation.OK, 'blue')]


def test_quality_of_the_compressed_overlay_can_be_changed(display: Display):
    outputs, sizes = display.outputs, []
    for quality in (95, 5):
        outputs.options = OutputOptions(overlay_quality=quality)
        display.run(lambda: outputs.publish(make_result('red'), NOT_CANCELED), **{'overlay/compressed': 1})
        sizes.append(len(display.topics['overlay/compressed'][-1].data))
    assert sizes[1] < sizes[0]
