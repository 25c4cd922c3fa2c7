"""A supervised worker whose segmenter waits for permission, so that tests decide what happens during inference."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import Frame, Instruction, Segmentation, Selection
from instructsam_model.datatypes import never
from instructsam_model.errors import raise_if_canceled
from instructsam_ros.depth3d.located import Located
from instructsam_ros.inference.pipeline import Pipeline
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.statistics import Statistics
from instructsam_ros.inference.supervisor import FailureLimits, Supervisor
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import make_stamp

RED, BLUE = Instruction('red'), Instruction('blue')
TIMEOUT_S = 30.0


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's."""


class Gate:
    """A segmenter that waits for permission before each result, and fails as the instruction says.

    Attributes:
        closed: number of calls of `close`.
        is_stuck: it ignores that a request is canceled.
    """

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.busy = threading.Event()
        self.asked: list[tuple[str, int]] = []
        self.frames: list[Frame] = []
        self.selections: list[Selection | None] = []
        self.threads: list[threading.Thread] = []
        self.closed = 0
        self.is_stuck = False
        self.closed_in: threading.Thread | None = None

    def segment(
        self,
        frame: Frame,
        instruction: Instruction,
        selection: Selection | None = None,
        *,
        is_canceled: Callable[[], bool] = never,
    ) -> Segmentation:
        self.asked.append((instruction.text, frame.stamp_ns))
        self.frames.append(frame)
        self.selections.append(selection)
        self.threads.append(threading.current_thread())
        self.busy.set()
        try:
            self._wait_for_permit(is_canceled)
        finally:
            self.busy.clear()
        if 'fail' in instruction.text:
            raise RuntimeError('the model broke')
        if 'too much' in instruction.text:
            raise OutOfMemoryError('CUDA out of memory')
        if 'exit' in instruction.text:
            raise SystemExit('a library had enough')
        return Segmentation((), instruction, '', frame.size_wh, frame.stamp_ns)

    def _wait_for_permit(self, is_canceled: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not self.permits.acquire(timeout=0.01):
            assert time.monotonic() < deadline_s
            if not self.is_stuck:
                raise_if_canceled(is_canceled)

    def warm_up(self, size_wh: tuple[int, int]) -> None:
        pass

    def memory_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self.closed += 1
        self.closed_in = threading.current_thread()


def image(stamp_ns: int) -> Image:
    """An image of 3 x 2 pixels."""
    return make_image(np.zeros((2, 3, 3), dtype=np.uint8), 'rgb8', Header(stamp=make_stamp(stamp_ns)))


def broken_image() -> Image:
    """An image without pixels."""
    return Image(encoding='rgb8')


def captured(stamp_ns: int = 1, camera: str = '', **options: Any) -> CapturedImage:
    """An image that has arrived."""
    return CapturedImage(image(stamp_ns), camera, **options)


class NoDepth:
    """In place of a depth estimator."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def is_ready(self, search: Any) -> bool:
        return True

    def locate(self, *arguments: Any, needs_scene: bool = False) -> Located:
        return Located()


class ResultList(list[InferenceResult]):
    """In place of the publishers of a camera."""

    needs_scene = False

    def __init__(self) -> None:
        super().__init__()
        self.withdrawn: list[tuple[str, str, str]] = []

    def publish(self, result: InferenceResult, canceled: threading.Event) -> float | None:
        if canceled.is_set():
            return None
        self.append(result)
        return 0.0

    def withdraw(self, instruction: str, reason: str) -> None:
        self.withdrawn.append((instruction, reason, threading.current_thread().name))

    def withdraw_all(self, reason: str) -> None:
        self.withdraw('', reason)

    def open(self) -> None:
        pass

    def close(self, reason: str) -> None:
        self.withdraw('', reason)


def make_pipeline(
    results: ResultList, cameras: Sequence[str] = ('',), statistics: Statistics | None = None
) -> Pipeline:
    """A pipeline that publishes into a list."""
    context = SimpleNamespace(ok=lambda: True)
    node: Any = SimpleNamespace(get_logger=lambda: get_logger('worker_bench'), context=context)
    depth: Any = NoDepth()
    return Pipeline(node, dict.fromkeys(cameras, results), depth, statistics or Statistics())


class Bench:
    """A supervised worker, its segmenter and the results that were published."""

    def __init__(
        self, cameras: Sequence[str] = ('',), limits: FailureLimits | None = None, preference: Any = None
    ) -> None:
        self.gate = Gate()
        self.loaded = 0
        self.load_errors: list[Exception] = []
        self.published = ResultList()
        self.scheduler = Scheduler(cameras, preference)
        self.statistics = Statistics()
        self.pipeline = make_pipeline(self.published, cameras, self.statistics)
        self.supervisor = Supervisor(self._load, self.pipeline, self.scheduler, limits=limits)
        self.supervisor.start().result(TIMEOUT_S)

    def _load(self) -> Gate:
        self.loaded += 1
        if self.load_errors:
            raise self.load_errors.pop(0)
        return self.gate

    def set_instructions(self, *instructions: Instruction) -> None:
        self.scheduler.set_queries([ContinuousQuery(each) for each in instructions])

    def add_images(self, *stamps_ns: int, camera: str = '') -> None:
        for stamp_ns in stamps_ns:
            self.scheduler.add_image(captured(stamp_ns, camera))

    def wait_until_busy(self) -> None:
        assert self.gate.busy.wait(TIMEOUT_S)

    def permit(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.permits.release()

    def close(self) -> None:
        self.permit(100)
        self.supervisor.stop('the node was shut down')

    @property
    def stamps(self) -> list[int]:
        """Stamps of the images with a published segmentation."""
        return [result.segmentation.stamp_ns for result in self.published if result.segmentation is not None]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
