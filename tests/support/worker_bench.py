"""A worker with a segmenter that waits for permission, so that tests decide what happens during inference; no ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from instructsam_model import Frame, FrameError, Instruction, Segmentation, Selection
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.supervisor import Limits, Supervisor

RED, BLUE = Instruction('red'), Instruction('blue')
TIMEOUT_S = 30.0


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's."""


class Gate:
    """A segmenter that waits for permission before each answer, and fails as the instruction says."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.busy = threading.Event()
        self.asked: list[tuple[str, int]] = []
        self.frames: list[Frame] = []
        self.selections: list[Selection | None] = []
        self.threads: list[threading.Thread] = []

    def segment(self, frame: Frame, instruction: Instruction, selection: Selection | None = None) -> Segmentation:
        self.asked.append((instruction.text, frame.stamp_ns))
        self.frames.append(frame)
        self.selections.append(selection)
        self.threads.append(threading.current_thread())
        self.busy.set()
        assert self.permits.acquire(timeout=TIMEOUT_S)
        self.busy.clear()
        if 'fail' in instruction.text:
            raise RuntimeError('the model broke')
        if 'too much' in instruction.text:
            raise OutOfMemoryError('CUDA out of memory')
        if 'exit' in instruction.text:
            raise SystemExit('a library had enough')
        return Segmentation((), instruction, '', frame.size_wh, frame.stamp_ns)


def decode(message: Any) -> Frame:
    if message == 'broken':
        raise FrameError('this one is broken')
    if message == 'odd':
        raise KeyError('odd')
    return Frame(np.zeros((2, 3, 3), dtype=np.uint8), stamp_ns=message)


class Bench:
    """A supervised worker, its segmenter and what it has delivered."""

    def __init__(self, cameras: Sequence[str] = ('',), limits: Limits | None = None) -> None:
        self.gate = Gate()
        self.loaded = 0
        self.load_errors: list[Exception] = []
        self.delivered: list[InferenceResult] = []
        self.scheduler = Scheduler(cameras)
        self.supervisor = Supervisor(self._load, decode, self.scheduler)
        self.supervisor.limits = limits or Limits()
        self.supervisor.start()

    def _load(self) -> Gate:
        self.loaded += 1
        if self.load_errors:
            raise self.load_errors.pop(0)
        return self.gate

    def stand(self, *instructions: Instruction) -> None:
        self.scheduler.stand([ContinuousQuery(each, self.delivered.append) for each in instructions])

    def offer(self, *stamps: Any, camera: str = '') -> None:
        for stamp in stamps:
            self.scheduler.offer(CapturedImage(stamp, camera))

    def wait_until_busy(self) -> None:
        assert self.gate.busy.wait(TIMEOUT_S)

    def answer(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.permits.release()

    def close(self) -> None:
        self.answer(100)
        self.supervisor.stop('the node was shut down')

    @property
    def stamps(self) -> list[int]:
        return [answer.segmentation.stamp_ns for answer in self.delivered if answer.segmentation is not None]


def wait_for(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
