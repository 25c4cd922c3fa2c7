"""The camera made of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from instructsam_model import ConfigError, FrameError
from instructsam_ros.messages import convert
from instructsam_ros.sim.image_player import ImagePlayer
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures that are red, green and blue all over, and a file that is none."""
    for number, color in enumerate(COLORS_RGB.values()):
        pixels = np.full((4, 6, 3), color[::-1], dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), pixels)
    (tmp_path / 'notes.txt').write_text('not a picture')
    return tmp_path


def play(graph: Graph, path: Path | str, **parameters: Any) -> ImagePlayer:
    values = {'path': str(path), 'rate_hz': 50.0, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(ImagePlayer(context=graph.context, cli_args=[], parameter_overrides=overrides))


def colors(messages: list[Image]) -> list[tuple[int, ...]]:
    return [tuple(convert.read_image(message)[0, 0].tolist()) for message in messages]


def test_plays_a_folder_in_order_and_again(graph: Graph, folder: Path):
    heard = graph.hear('image', Image, reliable=False)
    play(graph, folder)
    graph.wait_for(lambda: len(heard) >= 7, 'seven pictures')
    order = list(COLORS_RGB.values())
    start = order.index(colors(heard)[0])
    assert colors(heard) == [order[(start + number) % 3] for number in range(len(heard))]
    stamps = [convert.stamp_ns(message.header.stamp) for message in heard]
    assert stamps == sorted(set(stamps))
    assert heard[0].header.frame_id == 'camera_optical_frame'


def test_stops_after_the_last_picture(graph: Graph, folder: Path):
    heard = graph.hear('image', Image, reliable=False)
    player = play(graph, folder, loop=False)
    graph.wait_for(lambda: player._player is None, 'the end')
    count = len(heard)
    graph.play(graph.camera(topic='other'), until=iter([False] * 20 + [True]).__next__)
    assert len(heard) == count <= 3


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_publishes_in_the_encoding(graph: Graph, folder: Path, encoding: str):
    heard = graph.hear('image', Image, reliable=False)
    play(graph, folder / '0.png', encoding=encoding)
    graph.wait_for(lambda: heard, 'a picture')
    assert heard[0].encoding == encoding
    assert colors(heard)[0] == ((76, 76, 76) if encoding == 'mono8' else COLORS_RGB['red'])


def test_the_path_changes_from_one_picture_to_the_next(graph: Graph, folder: Path):
    heard = graph.hear('image', Image, reliable=False)
    player = play(graph, folder / '0.png')
    graph.wait_for(lambda: heard, 'a picture')
    before_ns = player.get_clock().now().nanoseconds
    result = graph.set_parameter(player, 'path', str(folder / '2.png'))
    assert result.successful
    changed_ns = player.get_clock().now().nanoseconds
    graph.wait_for(lambda: convert.stamp_ns(heard[-1].header.stamp) > changed_ns, 'a picture from after the change')
    for message, color in zip(heard, colors(heard), strict=True):
        taken_ns = convert.stamp_ns(message.header.stamp)
        if taken_ns < before_ns or taken_ns > changed_ns:
            assert color == COLORS_RGB['red' if taken_ns < before_ns else 'blue']


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('path', 'nowhere.png', 'nowhere.png'),
        ('path', '', 'expected an image'),
        ('encoding', '32FC1', 'encoding: expected one of rgb8, bgr8, mono8'),
        ('rate_hz', 5.0, 'read-only'),
    ],
)
def test_a_wrong_change_is_refused_and_the_show_goes_on(graph: Graph, folder: Path, name: str, value: Any, said: str):
    heard = graph.hear('image', Image, reliable=False)
    player = play(graph, folder / '0.png')
    result = graph.set_parameter(player, name, value)
    assert not result.successful
    assert said in result.reason
    count = len(heard)
    graph.wait_for(lambda: len(heard) > count, 'the show to go on')


@pytest.mark.parametrize(
    ('parameters', 'error', 'said'),
    [
        ({'path': 'nowhere.png'}, FrameError, 'nowhere.png'),
        ({'reliability': 'sometimes'}, ConfigError, 'reliability: expected one of best_effort, reliable'),
        ({'rate_hz': 0.0}, ConfigError, 'rate_hz'),
    ],
    ids=['path', 'reliability', 'rate'],
)
def test_is_not_made_with_a_value_that_is_not_allowed(
    graph: Graph, folder: Path, parameters: dict[str, Any], error: type[Exception], said: str
):
    with pytest.raises(error, match=said):
        play(graph, **{'path': folder, **parameters})


@pytest.mark.parametrize('reliability', list(ReliabilityPolicy)[1:3], ids=lambda policy: policy.name.lower())
def test_publishes_with_the_reliability(graph: Graph, folder: Path, reliability: ReliabilityPolicy):
    player = play(graph, folder, reliability=reliability.name.lower())
    [info] = player.get_publishers_info_by_topic('image')
    assert info.qos_profile.reliability == reliability
