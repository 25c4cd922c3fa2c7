"""Results of instructions: which instruction, which camera, which ids.

Covers inference/topic_publisher.py.
"""

from __future__ import annotations

import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


def ids(message) -> list[str]:
    return [instance.id for instance in message.instances]


def test_objects_keep_their_ids(graph: Graph):
    graph.segmenter(instruction='red green')
    answers = graph.subscribe()
    make = lambda: graph.image('red', 'green')  # noqa: E731
    graph.publish_images(graph.camera(), make=make, until=lambda: len(answers) >= 4)
    assert {tuple(ids(answer)) for answer in answers} == {('1', '2')}


def test_ids_are_not_reused_for_another_instruction(graph: Graph):
    node = graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    seen = []
    for text in ('red', 'red block', 'red'):
        graph.set_instruction(node, text)
        answers.clear()
        graph.publish_images(camera, until=lambda text=text: answers and answers[-1].instruction == text)
        seen += ids(answers[-1])
    assert len(set(seen)) == 3


def test_no_ids_without_tracking(graph: Graph):
    node = graph.segmenter(instruction='red', **{'tracking.enabled': False})
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert ids(answers[0]) == ['']
    assert graph.set_parameter(node, 'tracking.enabled', True).successful
    graph.publish_images(camera, until=lambda: ids(answers[-1]) == ['1'])


def test_several_instructions_are_processed_for_each_image(graph: Graph):
    node = graph.segmenter(instruction='red', instructions=['green', 'blue', 'red', ''])
    answers, camera = graph.subscribe(), graph.camera()
    make = lambda: graph.image('red', 'green', 'blue')  # noqa: E731
    graph.publish_images(camera, make=make, until=lambda: len(answers) >= 9)
    assert [answer.instruction for answer in answers[:6]] == ['red', 'green', 'blue'] * 2
    assert [answers[place].header for place in (0, 0, 0)] == [answer.header for answer in answers[:3]]
    assert [ids(answer) for answer in answers[:6]] == [['1'], ['2'], ['3']] * 2

    graph.set_instruction(node, 'everything')
    graph.publish_images(camera, make=make, until=lambda: 'everything' in [answer.instruction for answer in answers])
    assert graph.set_parameter(node, 'instructions', ['']).successful
    graph.publish_images(camera, until=lambda: [each.instruction for each in answers[-3:]] == ['everything'] * 3)


def test_cameras_have_their_own_topics(graph: Graph):
    graph.segmenter(FakeSegmenter(delay_s=0.02), warmup=False, instruction='red', cameras=['left', 'arm/wrist'])
    received = {name: graph.subscribe(f'segmenter/{name}/segmentation') for name in ('left', 'arm/wrist')}
    fast, slow = graph.camera(topic='left/image'), graph.camera(topic='arm/wrist/image')
    labels = graph.subscribe('segmenter/left/labels', Image)
    sent: list[Image] = []

    def make() -> Image:
        if len(sent) < 200:
            sent.append(graph.image('red', 'blue'))
            slow.publish(sent[-1])
        return graph.image('red')

    graph.publish_images(fast, make=make, until=lambda: labels and all(len(each) >= 5 for each in received.values()))
    of_wrist = [image.header.stamp for image in sent]
    assert all(answer.header.stamp in of_wrist for answer in received['arm/wrist'])
    assert not any(answer.header.stamp in of_wrist for answer in received['left'])
    assert ids(received['left'][-1]) != ids(received['arm/wrist'][-1])


@pytest.mark.parametrize(
    ('camera', 'said'), [('right', ''), ('', ''), ('front', "expected one of left, right, got 'front'")]
)
def test_request_for_a_camera(graph: Graph, camera: str, said: str):
    graph.segmenter(cameras=['left', 'right'])
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    publisher = graph.peer.create_publisher(Image, f'{camera or "left"}/image', QoSProfile(depth=1))
    assert client.wait_for_service(10)
    future = client.call_async(Segment.Request(instruction='red', camera=camera, request_id='7'))
    graph.publish_images(publisher, until=future.done)
    assert said in future.result().message
    check_documented(future.result().message)
    assert future.result().success == (not said)
    assert future.result().segmentation.request_id == '7'


def test_request_id_is_in_every_response(graph: Graph):
    graph.segmenter(request_timeout=0.3)
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    for request in (
        Segment.Request(instruction='red', image=graph.image('red'), request_id='good'),
        Segment.Request(instruction='fail', image=graph.image('red'), request_id='model fails'),
        Segment.Request(instruction='red', request_id='no image'),
        Segment.Request(instruction='', request_id='no instruction'),
    ):
        assert graph.call(client, request).segmentation.request_id == request.request_id
