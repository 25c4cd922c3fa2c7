"""The camera that publishes image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from instructsam_model import ConfigError, FrameError
from instructsam_ros.messages.image import read_image
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.sim.image_player import ImagePlayer
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images that are red, green and blue all over, and a text file."""
    for number, color in enumerate(COLORS_RGB.values()):
        pixels = np.full((4, 6, 3), color[::-1], dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), pixels)
    (tmp_path / 'notes.txt').write_text('not an image')
    return tmp_path


def start_player(graph: Graph, path: Path | str, **parameters: Any) -> ImagePlayer:
    values = {'path': str(path), 'rate_hz': 50.0, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(ImagePlayer(context=graph.context, cli_args=[], parameter_overrides=overrides))


def colors(messages: list[Image]) -> list[tuple[int, ...]]:
    return [tuple(read_image(message)[0, 0].tolist()) for message in messages]


def test_player_publishes_a_folder_in_order_repeatedly(graph: Graph, folder: Path):
    images = graph.subscribe('image', Image, reliable=False)
    start_player(graph, folder)
    graph.wait_for(lambda: len(images) >= 7, 'seven images')
    order = list(COLORS_RGB.values())
    start = order.index(colors(images)[0])
    assert colors(images) == [order[(start + number) % 3] for number in range(len(images))]
    stamps = [read_stamp_ns(message.header.stamp) for message in images]
    assert stamps == sorted(set(stamps))
    assert images[0].header.frame_id == 'camera_optical_frame'


def test_player_stops_after_the_last_image(graph: Graph, folder: Path, log: Callable[[], str]):
    images = graph.subscribe('image', Image, reliable=False)
    start_player(graph, folder, loop=False)
    graph.wait_for(lambda: 'the last image was published' in log(), 'the last image')
    count = len(images)
    graph.publish_images(graph.camera(topic='other'), until=iter([False] * 20 + [True]).__next__)
    assert len(images) == count <= 3


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_player_publishes_in_the_encoding(graph: Graph, folder: Path, encoding: str):
    images = graph.subscribe('image', Image, reliable=False)
    start_player(graph, folder / '0.png', encoding=encoding)
    graph.wait_for(lambda: images, 'an image')
    assert images[0].encoding == encoding
    assert colors(images)[0] == ((76, 76, 76) if encoding == 'mono8' else COLORS_RGB['red'])


def test_changed_path_applies_from_the_next_image(graph: Graph, folder: Path):
    images = graph.subscribe('image', Image, reliable=False)
    player = start_player(graph, folder / '0.png')
    graph.wait_for(lambda: images, 'an image')
    before_ns = player.get_clock().now().nanoseconds
    result = graph.set_parameter(player, 'path', str(folder / '2.png'))
    assert result.successful
    changed_ns = player.get_clock().now().nanoseconds
    graph.wait_for(lambda: read_stamp_ns(images[-1].header.stamp) > changed_ns, 'an image from after the change')
    for message, color in zip(images, colors(images), strict=True):
        taken_ns = read_stamp_ns(message.header.stamp)
        if taken_ns < before_ns or taken_ns > changed_ns:
            assert color == COLORS_RGB['red' if taken_ns < before_ns else 'blue']


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('path', 'nowhere.png', 'nowhere.png'),
        ('path', '', 'expected a'),
        ('encoding', '32FC1', 'encoding: expected one of rgb8, bgr8, mono8'),
        ('rate_hz', 5.0, 'read-only'),
    ],
)
def test_invalid_parameter_change_is_refused_and_images_continue(
    graph: Graph, folder: Path, name: str, value: Any, message: str
):
    images = graph.subscribe('image', Image, reliable=False)
    player = start_player(graph, folder / '0.png')
    result = graph.set_parameter(player, name, value)
    assert not result.successful
    assert message in result.reason
    count = len(images)
    graph.wait_for(lambda: len(images) > count, 'further images')


@pytest.mark.parametrize(
    ('parameters', 'error', 'message'),
    [
        ({'path': 'nowhere.png'}, FrameError, 'nowhere.png'),
        ({'reliability': 'sometimes'}, ConfigError, 'reliability: expected one of best_effort, reliable'),
        ({'rate_hz': 0.0}, ConfigError, 'rate_hz'),
    ],
    ids=['path', 'reliability', 'rate'],
)
def test_invalid_parameter_raises_an_error(
    graph: Graph, folder: Path, parameters: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        start_player(graph, **{'path': folder, **parameters})


@pytest.mark.parametrize('reliability', list(ReliabilityPolicy)[1:3], ids=lambda policy: policy.name.lower())
def test_player_publishes_with_the_reliability(graph: Graph, folder: Path, reliability: ReliabilityPolicy):
    player = start_player(graph, folder, reliability=reliability.name.lower())
    [info] = player.get_publishers_info_by_topic('image')
    assert info.qos_profile.reliability == reliability
