"""The node in one process: results for images, and recovery from faults."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from instructsam_ros.messages.image import make_image, read_image
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.node import result_content
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


def compressed(graph: Graph, suffix: str = '.png', cut: float = 1.0) -> CompressedImage:
    pixels = read_image(graph.image('red'))
    data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    message = CompressedImage(header=graph.header(), format=suffix[1:])
    message.data.frombytes(data[: int(cut * len(data))])
    return message


def test_instruction_is_processed_for_images(graph: Graph):
    graph.segmenter(instruction='the red block')
    answers = graph.subscribe()
    sent = graph.publish_images(graph.camera(), until=lambda: len(answers) >= 3)

    answer = answers[0]
    assert answer.status == Segmentation.OK
    assert (answer.instruction, answer.text) == ('the red block', 'red')
    assert (answer.width, answer.height) == (64, 48)
    box = answer.instances[0].box
    assert (box.x_offset, box.y_offset, box.width, box.height) == (5, 10, 10, 10)
    assert 0 < answer.latency < 5
    headers = [image.header for image in sent]
    assert all(answer.header in headers for answer in answers)
    stamps = [read_stamp_ns(answer.header.stamp) for answer in answers]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize('reliable', [False, True], ids=['best effort', 'reliable'])
def test_receives_images_of_either_reliability(graph: Graph, reliable: bool):
    graph.segmenter(instruction='red')
    answers = graph.subscribe()
    graph.publish_images(graph.camera(reliable=reliable), until=lambda: answers)


def test_receives_compressed_images(graph: Graph):
    graph.segmenter(instruction='red', image_transport='compressed')
    answers = graph.subscribe()
    graph.publish_images(graph.camera(topic='image/compressed'), until=lambda: answers, make=lambda: compressed(graph))
    assert len(answers[0].instances) == 1


def test_no_inference_without_an_instruction(graph: Graph):
    fake = FakeSegmenter()
    node = graph.segmenter(fake, warmup=False)
    answers, camera = graph.subscribe(), graph.camera()
    arrived = node.statistics  # no topic says that an image arrived and was left alone
    graph.publish_images(camera, until=lambda: arrived.received >= 5)
    assert not fake.asked
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: answers)
    graph.set_instruction(node, ' ')
    graph.publish_images(camera, until=lambda seen=arrived.received: arrived.received >= seen + 3)
    asked = len(fake.asked)
    graph.publish_images(camera, until=lambda seen=arrived.received: arrived.received >= seen + 5)
    assert len(fake.asked) == asked


def test_result_without_instances_is_published(graph: Graph):
    graph.segmenter(instruction='blue')
    answers, labels = graph.subscribe(), graph.subscribe('segmenter/labels', Image)
    graph.publish_images(graph.camera(), until=lambda: answers and labels)
    assert (answers[0].status, list(answers[0].instances)) == (Segmentation.NO_TARGET, [])
    assert not np.any(labels[0].data)


def test_failing_model_is_reported_and_the_node_recovers(graph: Graph):
    node = graph.segmenter(instruction='fail')
    answers, camera = graph.subscribe(), graph.camera()
    sent = graph.publish_images(camera, until=lambda: answers)
    assert answers[0].status == Segmentation.FAILED
    assert answers[0].message == 'RuntimeError: the model broke'
    assert answers[0].error_code == ErrorCode.MODEL_ERROR
    assert answers[0].header in [image.header for image in sent]
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)


def empty(graph: Graph) -> Image:
    return Image(header=graph.header(), encoding='rgb8')


def with_wrong_step(graph: Graph) -> Image:
    image = graph.image('red')
    image.step = 64
    return image


def of_unknown_encoding(graph: Graph) -> Image:
    image = graph.image('red')
    image.encoding = 'rgb9'
    return image


def cut_short(graph: Graph) -> Image:
    image = graph.image('red')
    del image.data[-1:]
    return image


@pytest.mark.parametrize(
    'make', [empty, with_wrong_step, of_unknown_encoding, cut_short], ids=lambda make: make.__name__
)
def test_broken_image_is_dropped_and_the_node_recovers(graph: Graph, make: Callable[[Graph], Image]):
    node = graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: node.statistics.dropped >= 2, make=lambda: make(graph))
    assert not answers
    graph.publish_images(camera, until=lambda: answers)


def test_broken_jpeg_is_dropped_and_the_node_recovers(graph: Graph):
    node = graph.segmenter(instruction='red', image_transport='compressed')
    answers, camera = graph.subscribe(), graph.camera(topic='image/compressed')
    broken = lambda: compressed(graph, '.jpg', cut=0.5)  # noqa: E731
    graph.publish_images(camera, until=lambda: node.statistics.dropped >= 2, make=broken)
    assert not answers
    graph.publish_images(camera, until=lambda: answers, make=lambda: compressed(graph))


def test_resolution_of_the_camera_can_change(graph: Graph):
    graph.segmenter(instruction='everything')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    small = np.zeros((24, 32, 3), dtype=np.uint8)
    make = lambda: make_image(small, 'rgb8', graph.header())  # noqa: E731
    graph.publish_images(camera, until=lambda: answers[-1].width == 32, make=make)
    mask = answers[-1].instances[0].mask
    assert (mask.width, mask.height) == (32, 24)


def test_outputs_are_lazy(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    made = []

    def overlay(*arguments):
        made.append(arguments)
        return np.full((48, 64, 3), 7, dtype=np.uint8)

    monkeypatch.setattr(result_content, 'overlay', overlay)
    graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: len(answers) >= 3)
    assert not made
    overlays = graph.subscribe('segmenter/overlay', Image)
    targets = graph.subscribe('segmenter/target/mask', Image)
    labels = graph.subscribe('segmenter/labels', Image)
    sent = graph.publish_images(camera, until=lambda: overlays and targets and labels)
    assert made
    headers = [image.header for image in sent]
    for image, encoding, top in ((overlays[0], 'rgb8', 7), (targets[0], 'mono8', 255), (labels[0], 'mono16', 1)):
        assert image.encoding == encoding
        assert image.header in headers
        assert max(image.data) == top


def test_thresholds_can_be_set_while_active(graph: Graph):
    node = graph.segmenter(instruction='red everything')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert [round(instance.score, 1) for instance in answers[-1].instances] == [0.9, 0.7]
    for name, value, count in (('score_threshold', 0.8, 1), ('score_threshold', 0.1, 2), ('max_instances', 1, 1)):
        assert graph.set_parameter(node, name, value).successful
        graph.publish_images(camera, until=lambda count=count: len(answers[-1].instances) == count)


def test_max_rate_limits_the_results(graph: Graph):
    node = graph.segmenter(instruction='red', max_rate=5.0)
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    started_s, before = time.monotonic(), len(answers)
    graph.publish_images(camera, until=lambda: time.monotonic() > started_s + 1.0)
    assert 3 <= len(answers) - before <= 7
    assert node.scheduler.images_replaced > 10


def test_max_age_drops_old_images(graph: Graph):
    node = graph.segmenter(instruction='red', max_age=2.0)
    answers, camera = graph.subscribe(), graph.camera()

    def old() -> Image:
        image = graph.image('red')
        image.header.stamp = make_stamp(time.time_ns() - 3_000_000_000)
        return image

    graph.publish_images(camera, until=lambda: node.scheduler.images_too_old >= 3, make=old)
    assert not answers
    graph.publish_images(camera, until=lambda: answers)


def test_results_do_not_need_simulated_time_to_advance(graph: Graph):
    graph.segmenter(instruction='red', use_sim_time=True)
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    assert 0 < answers[0].latency < 5
