"""docs/faults.md shows what is really printed: each fault is made here, and its message looked up there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from instructsam_model import ConfigError
from instructsam_ros.messages.image import make_image, read_image
from instructsam_ros.node.backend_loader import load_checkpoint
from instructsam_ros.srv import Segment
from tests.support import ROOT
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph

GOLDEN = ROOT / 'tests' / 'golden' / 'checkpoint'


def truncated(folder: Path) -> None:
    file = folder / 'model.safetensors'
    file.write_bytes(file.read_bytes()[:1_000_000])


def of_other_k(folder: Path) -> None:
    file = folder / 'config.json'
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, 'max_seg_nums': 8}))


def test_no_checkpoint(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(load=load_checkpoint, checkpoint='/no/such/folder')
    graph.wait_for(lambda: 'not configured' in log(), 'the node to give up', timeout_s=60)
    check_documented(logged(graph, log, 'not configured'))
    assert node.state == 'unconfigured'


@pytest.mark.parametrize('damage', [truncated, of_other_k], ids=lambda damage: damage.__name__)
def test_damaged_checkpoint(
    graph: Graph,
    log: Callable[[], str],
    damage: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN, 'checkpoint')
    damage(Path('checkpoint'))
    graph.segmenter(load=load_checkpoint, checkpoint='checkpoint')
    graph.wait_for(lambda: 'not configured' in log(), 'the node to give up', timeout_s=60)
    check_documented(logged(graph, log, 'not configured'))


@pytest.mark.parametrize(('text', 'said'), [(' ', 'empty, idle'), ('x' * 10_000, '10000')], ids=['empty', 'long'])
def test_instructions_on_the_topic(graph: Graph, log: Callable[[], str], text: str, said: str):
    graph.segmenter(instruction='red')
    graph.publish_instruction(graph.instruction_publisher(), text, until=lambda: said in log())
    check_documented(logged(graph, log, said))


@pytest.mark.parametrize('text', ['', 'x' * 10_000], ids=['empty', 'long'])
def test_instructions_of_a_request(graph: Graph, text: str):
    graph.segmenter()
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    check_documented(graph.call(client, Segment.Request(instruction=text)).message)


def test_requests_that_cannot_be_answered(graph: Graph):
    node = graph.segmenter(request_timeout=0.5)
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    messages = [graph.call(client, Segment.Request(instruction='red')).message]
    graph.run_in_executor(node.trigger_deactivate)
    messages.append(graph.call(client, Segment.Request(instruction='red')).message)
    for message in messages:
        check_documented(message)


def empty(image: Image) -> None:
    image.width = image.height = image.step = 0
    del image.data[:]


def with_wrong_step(image: Image) -> None:
    image.step = 64


def short(image: Image) -> None:
    del image.data[-64:]


def of_unknown_encoding(image: Image) -> None:
    image.encoding = 'rgb9'


def of_depth(image: Image) -> None:
    image.encoding = '32FC1'


def of_labels(image: Image) -> None:
    image.encoding = '16SC1'


def of_two_channels(image: Image) -> None:
    image.encoding = '8UC2'


def of_tensor(image: Image) -> None:
    tensor = make_image(np.resize(np.float32([-2, 2]), (48, 64)), '32FC1', image.header)
    image.encoding, image.width, image.step, image.data = '32FC3', 21, tensor.step, tensor.data


def of_odd_size(image: Image) -> None:
    image.encoding, image.width = 'nv12', 63


@pytest.mark.parametrize(
    'damage',
    [
        empty, with_wrong_step, short, of_unknown_encoding, of_depth, of_labels, of_two_channels, of_tensor, of_odd_size
    ],
    ids=lambda damage: damage.__name__,
)  # fmt: skip
def test_images(graph: Graph, log: Callable[[], str], damage: Callable[[Image], None]):
    def make() -> Image:
        image = graph.image('red')
        damage(image)
        return image

    graph.segmenter(instruction='red')
    graph.publish_images(graph.camera(), until=lambda: 'dropped: ' in log(), make=make)
    check_documented(logged(graph, log, 'dropped: '))


def test_broken_jpeg(graph: Graph, log: Callable[[], str]):
    def make() -> CompressedImage:
        message = CompressedImage(header=graph.header(), format='jpeg')
        message.data.frombytes(cv2.imencode('.jpg', read_image(graph.image('red')))[1].tobytes()[:-100])
        return message

    graph.segmenter(instruction='red', image_transport='compressed')
    graph.publish_images(graph.camera(topic='image/compressed'), until=lambda: 'dropped: ' in log(), make=make)
    assert 'because the end is missing' in logged(graph, log, 'dropped: ')
    check_documented(re.sub(r'\d+ bytes', '742 bytes', logged(graph, log, 'dropped: ')))


@pytest.mark.parametrize(
    ('data', 'format_'),
    [(b'\0\0\0\1\x67\x42', 'h264'), (b'\0' * 20, '16UC1; compressedDepth png')],
    ids=['video', 'depth'],
)
def test_compressed_images_that_are_no_images(graph: Graph, log: Callable[[], str], data: bytes, format_: str):
    def make() -> CompressedImage:
        message = CompressedImage(header=graph.header(), format=format_)
        message.data.frombytes(data)
        return message

    graph.segmenter(instruction='red', image_transport='compressed')
    graph.publish_images(graph.camera(topic='image/compressed'), until=lambda: 'dropped: ' in log(), make=make)
    check_documented(logged(graph, log, 'dropped: '))


def test_camera_that_stops(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(instruction='red', image_timeout=0.5)
    camera = graph.camera()
    graph.publish_images(camera, until=lambda: node.statistics.received)
    check_documented(logged(graph, log, 'no image for'))
    graph.publish_images(camera, until=lambda: 'images arrive again' in log())
    check_documented(logged(graph, log, 'images arrive again'))


def test_camera_with_another_transport(graph: Graph, log: Callable[[], str]):
    graph.camera(topic='image/compressed')
    graph.segmenter(image_timeout=0.5)
    check_documented(logged(graph, log, 'no image for'))


def test_raw_camera_for_a_node_that_expects_compressed_images(graph: Graph, log: Callable[[], str]):
    graph.camera()
    graph.segmenter(image_timeout=0.5, image_transport='compressed')
    check_documented(logged(graph, log, 'no image for'))


def test_no_camera(graph: Graph, log: Callable[[], str]):
    graph.segmenter(image_timeout=0.5)
    check_documented(logged(graph, log, 'no image for'))


def test_failing_model(graph: Graph):
    graph.segmenter(instruction='fail')
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    check_documented(answers[0].message)


def test_parameters(graph: Graph):
    node = graph.segmenter()
    for name, value, part in (('score_threshold', 1.5, r'Min.*'), ('checkpoint', 'other', '.*')):
        result = graph.set_parameter(node, name, value)
        assert not result.successful
        check_documented(re.search(part, result.reason).group())  # the rest of the first is worded by each ROS
    with pytest.raises(ConfigError) as caught:
        graph.segmenter(dtype='int8')
    check_documented(f'not started: {caught.value}')
    with pytest.raises(ConfigError) as caught:
        graph.segmenter(warmup_sizes=['720p'])
    check_documented(f'not started: {caught.value}')
