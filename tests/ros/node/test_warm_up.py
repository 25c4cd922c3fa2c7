"""The warm-up for the sizes of images: when it happens, what waits for it, and what is reported.

Covers node/camera_sizes.py and node/backend_loader.py.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from instructsam_model import Frame, FrameError, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_ros.messages.camera_info import image_size
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import read_stamp_ns
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import TIMEOUT_S, Graph, Manager
from tests.support.worker_bench import OutOfMemoryError

SMALL, LARGE = (64, 48), (128, 96)


class SlowToWarm(FakeSegmenter):
    """Waits for `permits` before it is ready for a size of `gated`, and fails as `failures` says.

    Attributes:
        order: what it did, in order: sizes that it was made ready for, and stamps that it answered about.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gated: set[tuple[int, int]] = set()
        self.permits = threading.Semaphore(0)
        self.failures: dict[tuple[int, int], BaseException] = {}
        self.order: list[Any] = []

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        super().warm_up(size_wh)
        self.order.append(size_wh)
        if size_wh in self.gated:
            assert self.permits.acquire(timeout=TIMEOUT_S)
        if size_wh in self.failures:
            raise self.failures[size_wh]

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        self.order.append(frame.stamp_ns)
        return super().segment(frame, instruction, selection, is_canceled=is_canceled)


@pytest.fixture
def fake() -> Iterator[SlowToWarm]:
    fake = SlowToWarm()
    yield fake
    fake.permits.release(100)


def image(graph: Graph, size_wh: tuple[int, int]) -> Image:
    pixels = np.zeros((size_wh[1], size_wh[0], 3), dtype=np.uint8)
    pixels[:10, :10, 0] = 255
    return make_image(pixels, 'rgb8', graph.header())


def stamp(message: Image) -> int:
    return read_stamp_ns(message.header.stamp)


def hear_statuses(graph: Graph) -> list[DiagnosticStatus]:
    statuses: list[DiagnosticStatus] = []
    graph.peer.create_subscription(DiagnosticArray, '/diagnostics', lambda each: statuses.append(each.status[0]), 10)
    return statuses


def answer_small_ones(graph: Graph, camera: Any, answers: list[Any]) -> None:
    graph.publish_images(camera, until=lambda: answers, make=lambda: image(graph, SMALL))


def test_warm_up_for_warmup_sizes_while_configuring(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, autostart=False, warmup_sizes=['640x480', '', '128x96'])
    assert Manager(graph).change(Transition.TRANSITION_CONFIGURE)
    assert fake.warmed == [(640, 480), LARGE]


def test_no_warm_up_if_disabled(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, warmup=False, instruction='red')
    answer_small_ones(graph, graph.camera(), graph.subscribe())
    assert fake.warmed == []


def test_warm_up_for_a_new_size_before_the_first_result(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, instruction='red')
    answer_small_ones(graph, graph.camera(), graph.subscribe())
    assert fake.order[:2] == [(640, 480), SMALL]
    assert fake.warmed == [(640, 480), SMALL], 'each once'
    assert len(fake.threads) == 1, 'in the thread that answers'


def test_warm_up_without_an_instruction(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake)
    graph.publish_images(graph.camera(), until=lambda: SMALL in fake.warmed, make=lambda: image(graph, SMALL))
    assert fake.asked == []


def test_warm_up_for_the_size_of_camera_info_while_inactive(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, autostart=False)
    assert Manager(graph).change(Transition.TRANSITION_CONFIGURE)
    publisher = graph.peer.create_publisher(CameraInfo, 'camera_info', 1)
    graph.publish_images(publisher, until=lambda: LARGE in fake.warmed, make=lambda: CameraInfo(width=128, height=96))
    assert Manager(graph).state == 'inactive'


def test_depth_keeps_its_subscription_to_camera_info(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, **{'depth.enabled': True})
    publisher = graph.peer.create_publisher(CameraInfo, 'camera_info', 1)
    graph.publish_images(publisher, until=lambda: LARGE in fake.warmed, make=lambda: CameraInfo(width=128, height=96))
    graph.wait_for(lambda: publisher.get_subscription_count() == 1, 'the subscription of depth alone')


@pytest.mark.parametrize(
    ('info', 'size_wh'),
    [
        (CameraInfo(width=1280, height=720), (1280, 720)),
        (CameraInfo(width=1280, height=720, binning_x=2, binning_y=2), (640, 360)),
        (CameraInfo(width=1280, height=720, binning_x=2, roi=RegionOfInterest(width=300, height=200)), (150, 200)),
        (CameraInfo(), (0, 0)),
    ],
    ids=['all of the sensor', 'binning', 'region of interest', 'not calibrated'],
)
def test_image_size_of_camera_info(info: CameraInfo, size_wh: tuple[int, int]):
    assert image_size(info) == size_wh


def test_warm_up_once_for_each_size_of_several_cameras(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, instruction='red', cameras=['left', 'right', 'wrist'], warmup_sizes=[''])
    sizes = {'left': SMALL, 'right': LARGE, 'wrist': SMALL}
    cameras = {name: graph.camera(topic=f'{name}/image') for name in sizes}
    answers = {name: graph.subscribe(f'segmenter/{name}/segmentation') for name in sizes}

    def send() -> bool:
        for name, camera in cameras.items():
            camera.publish(image(graph, sizes[name]))
        return all(answers.values())

    graph.wait_for(send, 'answers about all cameras', period_s=0.05)
    assert sorted(fake.warmed) == [SMALL, LARGE]


def test_images_are_replaced_and_diagnostics_warn_during_a_warm_up(graph: Graph, fake: SlowToWarm):
    graph.segmenter(fake, instruction='red')
    camera, answers, statuses = graph.camera(), graph.subscribe(), hear_statuses(graph)
    answer_small_ones(graph, camera, answers)
    fake.gated = {LARGE}
    sent = graph.publish_images(
        camera,
        until=lambda: statuses and statuses[-1].message == 'warming up at 128x96',
        make=lambda: image(graph, LARGE),
        rate_hz=20.0,
    )
    assert statuses[-1].level == DiagnosticStatus.WARN
    graph.wait_for(lambda: fake.warmed[-1] == LARGE, 'the warm-up')
    before = len(answers)
    fake.permits.release()
    graph.publish_images(
        camera, until=lambda: len(answers) > before, make=lambda: sent.append(image(graph, LARGE)) or sent[-1]
    )
    first = next(read_stamp_ns(each.header.stamp) for each in answers[before:])
    assert first >= stamp(sent[2]), 'those that came first while it got ready are not answered'
    assert fake.warmed.count(LARGE) == 1
    graph.wait_for(lambda: statuses[-1].message == 'active', 'diagnostics to say that it is over')


def test_compressed_image_of_a_new_size_waits_for_the_warm_up(graph: Graph, fake: SlowToWarm):
    """Its size is known only when it has been decoded."""
    graph.segmenter(fake, instruction='red', image_transport='compressed', warmup_sizes=[''])
    answers, png = graph.subscribe(), cv2.imencode('.png', np.zeros((96, 128, 3), dtype=np.uint8))[1].tobytes()
    graph.publish_images(
        graph.camera(topic='image/compressed'),
        until=lambda: answers,
        make=lambda: CompressedImage(header=graph.header(), format='png', data=png),
    )
    assert fake.order[0] == LARGE
    assert fake.warmed == [LARGE]


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (RuntimeError('no such kernel'), 'not configured:.*warming up at 640x480 failed: RuntimeError: no such kernel'),
        (FrameError('image_rgb: too thin'), 'not configured: warmup_sizes: image_rgb: too thin'),
    ],
    ids=['broken', 'cannot be seen'],
)
def test_failed_warm_up_while_configuring_fails_the_transition(
    graph: Graph, fake: SlowToWarm, error: Exception, said: str, log: Callable[[], str]
):
    fake.failures = {(640, 480): error}
    graph.segmenter(fake, autostart=False)
    manager = Manager(graph)
    assert not manager.change(Transition.TRANSITION_CONFIGURE)
    assert manager.state == 'unconfigured'
    graph.wait_for(lambda: re.search(said, log(), re.DOTALL), f'the log to say {said}')
    assert fake.closed == 1, 'its memory is freed'


def test_failed_warm_up_while_active_is_reported_and_counted(graph: Graph, fake: SlowToWarm, log: Callable[[], str]):
    node = graph.segmenter(fake, instruction='red')
    statuses = hear_statuses(graph)
    fake.failures = {SMALL: RuntimeError('no such kernel')}
    said = 'warming up at 64x48 failed: RuntimeError: no such kernel'
    answers = graph.subscribe()
    answer_small_ones(graph, graph.camera(), answers)
    graph.wait_for(lambda: any(each.level == DiagnosticStatus.ERROR for each in statuses), 'diagnostics')
    assert said in next(each.message for each in statuses if each.level == DiagnosticStatus.ERROR)
    graph.wait_for(lambda: said in log(), 'the log')
    check_documented(said)
    assert fake.warmed.count(SMALL) == 1, 'it is not tried over and over'
    assert node.state == 'active'


def test_unsupported_size_is_reported_by_the_results_only(graph: Graph, fake: SlowToWarm):
    node = graph.segmenter(fake, instruction='red')
    fake.failures = {SMALL: FrameError('too thin')}
    answer_small_ones(graph, graph.camera(), graph.subscribe())
    assert node.supervisor is not None
    assert node.supervisor.failures == 0


def test_reloaded_model_is_warmed_up_for_all_sizes(graph: Graph):
    fakes = [SlowToWarm(), SlowToWarm()]
    fakes[0].failures = {SMALL: OutOfMemoryError('CUDA out of memory')}
    made = iter(fakes)
    node = graph.segmenter(load=lambda *_, **__: next(made), instruction='red')
    graph.wait_for(lambda: node.state == 'active', 'the node to be active')
    answer_small_ones(graph, graph.camera(), graph.subscribe())
    assert fakes[1].warmed == [(640, 480), SMALL]
    assert node.supervisor is not None
    assert node.supervisor.restarts == 1
