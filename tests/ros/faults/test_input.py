"""Faults of the input: cameras that stop, clocks that jump, many messages, random messages."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from instructsam_model import FrameError, Instruction, RequestError
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.node_process import NodeProcess
from tests.support.documented_faults import check_documented, logged
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph
from tests.support.worker_bench import ResultList, make_pipeline

SECOND_NS = 1_000_000_000


def test_camera_killed_and_restarted(graph: Graph, tmp_path: Path, log: Callable[[], str]):
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.full((48, 64, 3), (0, 0, 255), dtype=np.uint8))
    graph.segmenter(instruction='red', image_timeout=1.0)
    answers = graph.subscribe()
    camera = ('-m', 'instructsam_ros.sim.image_player')
    with NodeProcess(*camera, parameters={'path': str(image)}) as player:
        graph.wait_for(lambda: answers, 'answers', timeout_s=60)
        assert player.stop(signal.SIGKILL) == -signal.SIGKILL
    graph.wait_for(lambda: 'no image for' in log(), 'a warning')
    graph.wait_for(lambda: answers[-1].status == Segmentation.WITHDRAWN, 'the withdrawal')
    answers.clear()
    with NodeProcess(*camera, parameters={'path': str(image)}):
        graph.wait_for(lambda: answers, 'answers', timeout_s=60)
    assert "images arrive again on '/image'" in log()


def test_stamps_in_any_order(graph: Graph):
    graph.segmenter(instruction='red')
    answers = graph.subscribe()
    stamps_ns = [0, 2**31 * SECOND_NS - 1, time.time_ns(), 1, time.time_ns() - 3600 * SECOND_NS, time.time_ns()]
    places = iter(range(10**6))

    def make() -> Image:
        image = graph.image('red')
        image.header.stamp = make_stamp(stamps_ns[next(places) % len(stamps_ns)])
        return image

    received = lambda: {read_stamp_ns(answer.header.stamp) for answer in answers}  # noqa: E731
    graph.publish_images(graph.camera(reliable=True), make=make, until=lambda: received() == set(stamps_ns))


def test_clock_that_jumps_back(graph: Graph):
    graph.segmenter(instruction='red', use_sim_time=True, max_age=1.0, max_rate=50.0)
    answers, camera, clock = graph.subscribe(), graph.camera(), graph.peer.create_publisher(Clock, '/clock', 10)
    now_ns = itertools.count()

    def make() -> Image:
        stamp = make_stamp(next(now_ns))
        clock.publish(Clock(clock=stamp))
        image = graph.image('red')
        image.header.stamp = stamp
        return image

    for began_ns in (1000 * SECOND_NS, 10 * SECOND_NS, 5000 * SECOND_NS):
        now_ns = itertools.count(began_ns, 20_000_000)
        answers.clear()
        # One that was on its way when the clock jumped may seem too old.
        graph.publish_images(camera, make=make, until=lambda: len(answers) >= 5)
        stamps_ns = [read_stamp_ns(answer.header.stamp) for answer in answers[1:]]
        assert min(stamps_ns) >= began_ns


def test_wrong_camera_clock_is_reported(graph: Graph, log: Callable[[], str]):
    graph.segmenter(instruction='red', max_age=1.0)

    def make() -> Image:
        image = graph.image('red')
        image.header.stamp = make_stamp(time.time_ns() - 3600 * SECOND_NS)
        return image

    graph.publish_images(graph.camera(), make=make, until=lambda: 'images were dropped' in log())
    said = logged(graph, log, 'images were dropped')
    check_documented(said[said.index('and max_age') :])
    assert 'the stamp of the newest was 36' in said


def test_thousand_parameter_changes(graph: Graph):
    node = graph.segmenter(instruction='red')
    answers, camera = graph.subscribe(), graph.camera()
    values = [number / 2000 for number in range(1000)]
    for batch in np.array_split(values, 10):
        for value in batch:
            assert graph.set_parameter(node, 'score_threshold', float(value)).successful
        camera.publish(graph.image('red'))
    graph.publish_images(camera, until=lambda: answers)
    assert node.parameters.stream.score_threshold == values[-1]


def test_thousand_instructions(graph: Graph):
    node, planner = graph.segmenter(), graph.instruction_publisher()
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_instruction(planner, 'red', until=lambda: node.instructions.instruction is not None)
    for number in range(1000):
        planner.publish(String(data=f'red {number}'))
        if number % 100 == 0:
            camera.publish(graph.image('red'))
    graph.publish_instruction(planner, 'red at last', until=lambda: node.instructions.texts == ('red at last',))
    graph.publish_images(camera, until=lambda: answers and answers[-1].instruction == 'red at last')
    assert len(node.scheduler.queries) == 1, 'former instructions are forgotten, and their tracks with them'


def test_instruction_that_is_not_utf_8(graph: Graph):
    node, planner = graph.segmenter(), graph.instruction_publisher()
    answers, broken = graph.subscribe(), b'red \xff\xfe'
    cdr = b'\x00\x01\x00\x00' + (len(broken) + 1).to_bytes(4, 'little') + broken + b'\x00'
    graph.wait_for(
        lambda: planner.publish(cdr) or node.instructions.instruction is not None, 'the instruction', period_s=0.05
    )
    graph.publish_images(graph.camera(), until=lambda: answers)
    assert answers[0].instruction == 'red \ufffd\ufffd'


def test_huge_messages(graph: Graph):
    node = graph.segmenter(instruction='everything')
    answers, camera, planner = graph.subscribe(), graph.camera(reliable=True), graph.instruction_publisher()
    boast = Image(header=graph.header(), encoding='rgb8', width=2**32 - 1, height=2**32 - 1, step=2**32 - 1)
    graph.publish_images(camera, make=lambda: boast, until=lambda: node.statistics.dropped)
    planner.publish(String(data='x' * 5_000_000))
    large = np.zeros((3000, 4000, 3), dtype=np.uint8)
    graph.publish_images(
        camera, make=lambda: make_image(large, 'rgb8', graph.header()), until=lambda: answers, rate_hz=2
    )
    assert (answers[0].width, answers[0].height) == (4000, 3000)
    assert node.instructions.texts == ('everything',)


ENCODINGS = ['', 'rgb8', 'bgra8', 'mono16', 'bayer_rggb8', 'yuv422', '32FC1', '16UC1', 'rgb16', '\x00', 'RGB8']


def random_message(rng: np.random.Generator) -> Any:
    """An image or compressed image of which anything may be wrong."""
    data = rng.bytes(int(rng.integers(0, 400)))
    if rng.random() < 0.2:
        start = (b'', b'\xff\xd8', b'\x89PNG\r\n\x1a\n')[int(rng.integers(3))]
        message = CompressedImage(format=str(rng.choice(['jpeg', 'png', ''])))
        message.data.frombytes(start + data)
        return message
    width, height = (int(each) for each in rng.integers(0, 9, 2))
    step = int(rng.choice([width, 3 * width, 4 * width, 6 * width, int(rng.integers(0, 2**32))]))
    message = Image(encoding=str(rng.choice(ENCODINGS)), width=width, height=height, step=step)
    message.is_bigendian = int(rng.integers(0, 2))
    message.header.stamp.sec = int(rng.integers(-(2**31), 2**31))
    message.data.frombytes(data)
    return message


def random_text(rng: np.random.Generator) -> str:
    points = rng.integers(1, 0xD800, int(rng.integers(0, 6000) if rng.random() < 0.05 else rng.integers(0, 40)))
    return ''.join(map(chr, points)) + str(rng.choice(['', ' red', ' everything', ' fail']))


@pytest.mark.parametrize('count', [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_images_and_instructions(count: int):
    rng = np.random.default_rng(0)
    scheduler = Scheduler()
    supervisor = Supervisor(FakeSegmenter, make_pipeline(ResultList()), scheduler)
    supervisor.start()
    outcomes = {'answer': 0, 'model': 0, 'image': 0, 'instruction': 0}
    for _ in range(count):
        try:
            instruction = Instruction(random_text(rng))
        except RequestError:
            outcomes['instruction'] += 1
            continue
        request = scheduler.submit(instruction, 60.0, capture=CapturedImage(random_message(rng)))
        result = request.future.result(60.0)
        if result.segmentation is None and 'fail' not in instruction.text:
            assert isinstance(result.error, FrameError), result.message
            outcomes['image'] += 1
        else:
            outcomes['answer' if result.segmentation is not None else 'model'] += 1
    supervisor.stop('the end')
    assert min(outcomes.values()) > count // 100, outcomes
