"""When results are withdrawn: with their instruction, with the node and with the camera. Covers node.segmenter_node."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import Image

from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.node_process import NodeProcess
from tests.support import SUPPORT
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph, Manager


def withdrawn(answers: list[Segmentation]) -> list[tuple[str, str]]:
    return [(each.instruction, each.message) for each in answers if each.status == Segmentation.WITHDRAWN]


def after(answers: list[Segmentation], instruction: str) -> list[Segmentation]:
    """The messages about an instruction after its withdrawal."""
    of_it = [each for each in answers if each.instruction == instruction]
    [end] = [index for index, each in enumerate(of_it) if each.status == Segmentation.WITHDRAWN]
    return of_it[end + 1 :]


def test_an_instruction_is_withdrawn_by_a_message_and_by_the_parameters(graph: Graph):
    node = graph.segmenter(instruction='red', instructions=['green'])
    answers, labels = graph.subscribe(), graph.subscribe('segmenter/labels', Image)
    camera, publisher = graph.camera(), graph.instruction_publisher()

    def see(*instructions: str) -> None:
        seen = len(answers)
        graph.publish_images(camera, until=lambda: set(instructions) <= {each.instruction for each in answers[seen:]})

    def expect(*said: tuple[str, str]) -> None:
        graph.publish_images(camera, until=lambda: len(withdrawn(answers)) >= len(said))
        assert withdrawn(answers) == list(said)

    see('red', 'green')
    graph.publish_instruction(publisher, 'the red block', lambda: withdrawn(answers))
    expect(('red', "replaced by 'the red block'"))
    see('the red block', 'green')
    graph.publish_instruction(publisher, '', lambda: len(withdrawn(answers)) > 1)
    empty = 'the instruction is empty now'
    expect(('red', "replaced by 'the red block'"), ('the red block', empty))
    graph.set_parameter(node, 'instructions', [''])
    graph.wait_for(lambda: len(withdrawn(answers)) == 3, 'the last withdrawal')
    assert withdrawn(answers)[2] == ('green', 'removed from the parameter instructions')
    assert after(answers, 'red') == after(answers, 'the red block') == after(answers, 'green') == []
    graph.wait_for(lambda: not np.any(labels[-1].data), 'an empty label image')
    assert (labels[-1].width, labels[-1].height) == (64, 48)


def test_a_result_in_progress_does_not_follow_its_withdrawal(graph: Graph):
    fake = FakeSegmenter(delay_s=0.3)
    node = graph.segmenter(fake, instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    asked = len(fake.asked)
    graph.publish_images(camera, until=lambda: len(fake.asked) > asked)
    graph.set_instruction(node, 'green')
    graph.publish_images(camera, until=lambda: answers[-1].instruction == 'green')
    assert withdrawn(answers) == [('red', "replaced by 'green'")]
    assert after(answers, 'red') == []


def test_the_node_withdraws_before_it_is_inactive(graph: Graph):
    node = graph.segmenter(instruction='red', autostart=False)
    manager, answers, camera = Manager(graph), graph.subscribe(), graph.camera()
    labels = graph.subscribe('segmenter/labels', Image)
    assert manager.change(Transition.TRANSITION_CONFIGURE)
    for transition, reason in (
        (Transition.TRANSITION_DEACTIVATE, 'the node was deactivated'),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, 'the node was shut down'),
    ):
        assert manager.change(Transition.TRANSITION_ACTIVATE)
        answers.clear()
        labels.clear()
        graph.publish_images(camera, until=lambda: labels and np.any(labels[-1].data) and answers)
        assert manager.change(transition)
        graph.wait_for(lambda: withdrawn(answers), 'the withdrawal')
        assert withdrawn(answers) == [('red', reason)]
        assert after(answers, 'red') == []
        graph.wait_for(lambda: not np.any(labels[-1].data), 'an empty label image')
    assert node.state == 'unconfigured'


def test_a_node_that_deactivates_itself_says_why(graph: Graph):
    node = graph.segmenter(instruction='red', max_failures=1)
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    graph.set_parameter(node, 'instructions', ['fail'])
    graph.publish_images(camera, until=lambda: node.state == 'inactive')
    graph.wait_for(lambda: {'red', 'fail'} <= {text for text, _ in withdrawn(answers)}, 'the withdrawals')
    said = {message for _, message in withdrawn(answers)}
    assert all('failures of the model in a row, the last: RuntimeError: the model broke' in each for each in said)


def test_results_are_withdrawn_when_the_camera_stops_and_come_back_with_it(graph: Graph):
    graph.segmenter(instruction='red', image_timeout=0.5)
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    graph.wait_for(lambda: withdrawn(answers), 'the withdrawal')
    [(_, reason)] = withdrawn(answers)
    assert reason.startswith('no image for ')
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)


def test_the_camera_that_goes_on_keeps_its_results(graph: Graph):
    graph.segmenter(instruction='red', cameras=['left', 'right'], image_timeout=0.5)
    answers = {name: graph.subscribe(f'segmenter/{name}/segmentation') for name in ('left', 'right')}
    cameras = {name: graph.camera(topic=f'{name}/image') for name in answers}
    for name, camera in cameras.items():
        graph.publish_images(camera, until=lambda name=name: answers[name])
    graph.publish_images(cameras['right'], until=lambda: withdrawn(answers['left']))
    seen = len(answers['right'])
    graph.publish_images(cameras['right'], until=lambda: len(answers['right']) > seen)
    assert answers['right'][-1].status == Segmentation.OK


def test_results_are_withdrawn_if_all_images_are_broken_for_some_time(graph: Graph):
    graph.segmenter(instruction='red', image_timeout=0.5)
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)

    def broken() -> Image:
        image = graph.image('red')
        image.encoding = 'rgb9'
        return image

    # A single one does no harm.
    camera.publish(broken())
    seen = len(answers)
    graph.publish_images(camera, until=lambda: len(answers) > seen + 5)
    assert withdrawn(answers) == []
    graph.publish_images(camera, until=lambda: withdrawn(answers), make=broken)
    [(_, reason)] = withdrawn(answers)
    assert reason.startswith('no valid image for ')
    assert "encoding 'rgb9'" in reason
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)


def test_results_are_withdrawn_if_all_images_are_too_old(graph: Graph):
    node = graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    graph.set_parameter(node, 'max_age', 0.001)

    def old() -> Image:
        image = graph.image('red')
        image.header.stamp.sec -= 3600
        return image

    graph.publish_images(camera, until=lambda: withdrawn(answers), make=old)
    assert 'images were dropped: the stamp of the newest was' in withdrawn(answers)[0][1]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM], ids=['SIGINT', 'SIGTERM'])
def test_a_process_that_is_interrupted_withdraws_its_results(graph: Graph, number: int):
    with NodeProcess(str(SUPPORT / 'slow_segmenter.py'), '0.05', parameters={'instruction': 'red'}) as child:
        answers = graph.subscribe()
        graph.publish_images(graph.camera(), until=lambda: answers)
        assert child.stop(number) == 0, child.tail()
        graph.wait_for(lambda: withdrawn(answers), 'the withdrawal')
    assert withdrawn(answers) == [('red', 'the node was shut down')]
    assert after(answers, 'red') == []
