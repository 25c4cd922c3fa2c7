"""A camera and the node in processes of their own, as on a robot: nothing queues, nothing blocks, nothing leaks."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import String

from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.node import fastdds
from instructsam_ros.tools.node_process import NodeProcess
from tests.support import SUPPORT
from tests.support.graph import Graph

RATE_HZ = 30.0
INFERENCE_S = 0.2
SLOW_SEGMENTER = str(SUPPORT / 'slow_segmenter.py')


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """A picture of 1280x720, which Fast DDS loses with its defaults."""
    file = tmp_path / 'picture.png'
    pixels = np.zeros((720, 1280, 3), dtype=np.uint8)
    pixels[200:400, 300:700] = (0, 0, 255)
    cv2.imwrite(str(file), pixels)
    return str(file)


def resident_mb(child: NodeProcess) -> float:
    """Memory of a process that is in RAM, in 1e6 bytes."""
    pages = int(Path(f'/proc/{child.pid}/statm').read_text().split()[1])
    return pages * 4096 / 1e6


def observe(graph: Graph, picture: str, reliability: str, duration_s: float) -> dict[str, float]:
    """Let both processes run and measure what comes out."""
    camera = {'path': picture, 'rate_hz': RATE_HZ, 'reliability': reliability}
    ages_s: list[float] = []
    stamps_ns: list[int] = []

    def on_answer(message: Segmentation) -> None:
        assert message.status == Segmentation.OK
        stamp_ns = read_stamp_ns(message.header.stamp)
        ages_s.append(time.time() - stamp_ns / 1e9)
        stamps_ns.append(stamp_ns)

    graph.peer.create_subscription(Segmentation, 'segmenter/segmentation', on_answer, 10)
    parameters = graph.peer.create_client(GetParameters, 'segmenter/get_parameters')
    round_trips_ms, memory_mb = [], []
    with (
        NodeProcess(SLOW_SEGMENTER, str(INFERENCE_S), parameters={'instruction': 'the red block'}) as segmenter,
        NodeProcess('-m', 'instructsam_ros.sim.image_player', parameters=camera) as player,
    ):
        graph.wait_for(lambda: len(ages_s) >= 5, 'the first answers', timeout_s=60)
        ages_s.clear(), stamps_ns.clear()
        started_s = time.monotonic()
        while time.monotonic() < started_s + duration_s:
            asked_s = time.monotonic()
            graph.call(parameters, GetParameters.Request(names=['device']), period_s=0.001)
            round_trips_ms.append(1e3 * (time.monotonic() - asked_s))
            memory_mb.append(resident_mb(segmenter))
            time.sleep(0.037)  # falls into every phase of an inference
        segmenter.check()
        player.check()
    # Compared are the second quarter and the last: the first still fills caches.
    before_mb, after_mb = (float(np.median(part)) for part in np.array_split(memory_mb, 4)[1::2])
    return {
        'answers': len(ages_s),
        'rate_hz': round(len(ages_s) / duration_s, 2),
        'age_p50_ms': round(1e3 * float(np.median(ages_s)), 1),
        'age_p95_ms': round(1e3 * float(np.percentile(ages_s, 95)), 1),
        'age_max_ms': round(1e3 * max(ages_s), 1),
        'stamps_rise': bool(np.all(np.diff(stamps_ns) > 0)),
        'parameter_p50_ms': round(float(np.median(round_trips_ms)), 1),
        'parameter_p95_ms': round(float(np.percentile(round_trips_ms, 95)), 1),
        'memory_mb': round(after_mb, 1),
        'memory_growth_mb': round(after_mb - before_mb, 2),
    }


def check(numbers: dict[str, float], duration_s: float) -> None:
    assert numbers['answers'] > 0.6 * duration_s / INFERENCE_S, numbers
    assert numbers['stamps_rise'], numbers
    # When its inference begins a picture is at most as old as the inference before it: two of them until the answer.
    assert numbers['age_p95_ms'] < 2e3 * INFERENCE_S, numbers
    assert numbers['parameter_p95_ms'] < 50, numbers


@pytest.mark.parametrize('reliability', ['best_effort', 'reliable'])
def test_answers_are_about_the_newest_picture_and_calls_are_served(graph: Graph, picture: str, reliability: str):
    numbers = observe(graph, picture, reliability, duration_s=4.0)
    print(json.dumps({'reliability': reliability, **numbers}))
    check(numbers, 4.0)


@pytest.mark.slow
@pytest.mark.parametrize('reliability', ['best_effort', 'reliable'])
def test_memory_stays_flat(graph: Graph, picture: str, reliability: str):
    numbers = observe(graph, picture, reliability, duration_s=120.0)
    print(json.dumps({'reliability': reliability, **numbers}))
    check(numbers, 120.0)
    # 10 GB of pictures go through in that time; the allocator keeps or returns one or two of 2.8 MB.
    assert numbers['memory_growth_mb'] < 10, numbers


def test_a_node_that_was_killed_can_be_started_again(graph: Graph, picture: str, monkeypatch: pytest.MonkeyPatch):
    answers, planner = graph.subscribe(), graph.instruction_publisher(latched=True)
    planner.publish(String(data='the red block'))
    with NodeProcess('-m', 'instructsam_ros.sim.image_player', parameters={'path': picture}):
        monkeypatch.delenv(fastdds.VARIABLE, raising=False)  # what is killed leaves its shared memory behind
        for _ in range(2):
            with NodeProcess(SLOW_SEGMENTER, '0.01') as segmenter:
                graph.wait_for(lambda: answers, 'answers', timeout_s=60)
                assert segmenter.stop(signal.SIGKILL) == -signal.SIGKILL
            answers.clear()
