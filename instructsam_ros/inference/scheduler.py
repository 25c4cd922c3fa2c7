"""Which question about which picture is next.

Pictures are replaced, never queued: of each camera the newest one waits. Requests go first, but of two in a row the
second lets a standing question pass, so that a storm of requests does not stop the stream. The cameras take turns, and
all standing questions are asked about the same picture, one after another, so that it is encoded once.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from instructsam_model import Instruction, Selection
from instructsam_ros.inference.requests import (
    CapturedImage,
    ContinuousQuery,
    InferenceRequest,
    InferenceResult,
    StreamOptions,
)

LATE_IN_A_ROW = 10
"""So many pictures that are too old, with none in between that is not, are worth a warning."""


class Scheduler:
    """The mailboxes of the cameras, the standing questions and the requests.

    All methods may be called from any thread.

    Args:
        cameras: their names.

    Attributes:
        replaced: how many pictures gave way to a newer one before the model had time for them.
        too_old: how many pictures were left out because of their age.
    """

    def __init__(self, cameras: Sequence[str] = ('',)) -> None:
        self._changed = threading.Condition()
        self._requests: deque[InferenceRequest] = deque()
        self._turns: deque[InferenceRequest] = deque()
        self._after_request = False
        self._questions: tuple[ContinuousQuery, ...] = ()
        self._tuning = StreamOptions()
        self._newest: dict[str, CapturedImage] = {}
        self._order = deque(cameras)
        self._due_s = dict.fromkeys(cameras, 0.0)
        self._late_in_a_row = 0
        self._age_s = 0.0
        self.replaced = 0
        self.too_old = 0

    @property
    def questions(self) -> tuple[ContinuousQuery, ...]:
        """The standing questions."""
        return self._questions

    @property
    def selection(self) -> Selection | None:
        """The one of `tune`."""
        return self._tuning.selection

    @property
    def complaint(self) -> str:
        """What is odd about the ages of the pictures; empty when nothing is."""
        if self._late_in_a_row < LATE_IN_A_ROW:
            return ''
        return (
            f'the last {self._late_in_a_row} images were all left out: the stamp of the newest was {self._age_s:.1f} s '
            f'old when its turn came and max_age is {self._tuning.max_age_s:g} s; check the clock of the camera, '
            f'use_sim_time of the node, and for a bag set max_age to 0'
        )

    @property
    def waiting(self) -> int:
        """How many requests have not been taken yet."""
        return len(self._requests)

    def offer(self, capture: CapturedImage) -> None:
        """Put a picture into the mailbox of its camera, in place of the one that is there."""
        with self._changed:
            if self._is_too_old(capture):
                return
            for request in self._requests:
                if request.capture is None and request.camera == capture.camera:
                    request.capture = capture
            if any(question.concerns(capture.camera) for question in self._questions):
                self.replaced += capture.camera in self._newest
                self._newest[capture.camera] = capture
            self._changed.notify_all()

    def stand(self, questions: Sequence[ContinuousQuery]) -> None:
        """Ask these about every picture from now on, in place of those before; none means idle."""
        with self._changed:
            self._questions = tuple(questions)
            self._turns = deque(turn for turn in self._turns if turn.question in self._questions)
            self._newest = {
                camera: capture
                for camera, capture in self._newest.items()
                if any(question.concerns(camera) for question in self._questions)
            }
            self._changed.notify_all()

    def tune(self, tuning: StreamOptions) -> None:
        """Set how standing questions are answered from now on."""
        with self._changed:
            self._tuning = tuning
            self._due_s = dict.fromkeys(self._due_s, 0.0)
            self._changed.notify_all()

    def ask(
        self,
        instruction: Instruction,
        timeout_s: float,
        *,
        capture: CapturedImage | None = None,
        selection: Selection | None = None,
        camera: str = '',
    ) -> InferenceRequest:
        """Ask once, before the standing questions have their turn.

        Args:
            instruction: the question.
            timeout_s: after so many seconds the answer is a failure; what the model is busy with goes on.
            capture: the picture; None means the first that arrives from now on.
            selection: None means the one of `tune`.
            camera: whose picture to wait for.
        """
        job = InferenceRequest(instruction, selection, camera, capture)
        # The job holds its timer. Were the timer to hold the job, pictures would wait for the garbage collector.
        timer = threading.Timer(timeout_s, self._expire, (weakref.ref(job), timeout_s))
        timer.daemon = True
        job.answer.add_done_callback(lambda _: timer.cancel())
        timer.start()
        with self._changed:
            self._requests.append(job)
            self._changed.notify_all()
        return job

    def clear(self, reason: str) -> None:
        """Forget the waiting pictures and refuse the waiting requests."""
        with self._changed:
            refused, self._requests = self._requests, deque()
            self._turns.clear()
            self._newest.clear()
        for request in refused:
            request.fail(reason)

    def put_back(self, capture: CapturedImage) -> None:
        """Ask about a picture again, all from the start, unless a newer one of its camera arrives before that."""
        with self._changed:
            self._turns = deque(turn for turn in self._turns if turn.capture is not capture)
            if any(question.concerns(capture.camera) for question in self._questions):
                self.replaced += capture.camera in self._newest
                self._newest.setdefault(capture.camera, capture)
            self._due_s[capture.camera] = 0.0

    def forget(self, capture: CapturedImage) -> None:
        """Ask nothing more about a picture, which is broken."""
        with self._changed:
            self._turns = deque(turn for turn in self._turns if turn.capture is not capture)

    def wake(self) -> None:
        """Let everybody who waits for a job look again whether to stop."""
        with self._changed:
            self._changed.notify_all()

    def next_job(self, stopped: Callable[[], bool]) -> InferenceRequest | None:
        """Wait for the next job; None as soon as `stopped` says so, for which `wake` has to be called."""
        with self._changed:
            while not stopped():
                job = self._take_job()
                if job is not None:
                    return job
                self._changed.wait(self._due_in_s())
        return None

    def _expire(self, reference: weakref.ref[InferenceRequest], timeout_s: float) -> None:
        if (job := reference()) is None:
            return
        waited_for = 'no image arrived' if job.capture is None else 'the model was not done'
        job.fail(f'{waited_for} within {timeout_s:g} s')
        with self._changed:
            if job in self._requests:
                self._requests.remove(job)

    def _take_job(self) -> InferenceRequest | None:
        request = None if self._after_request else self._take_request()
        job = request or self._take_turn() or self._take_request()
        self._after_request = job is not None and job.question is None
        return job

    def _take_request(self) -> InferenceRequest | None:
        for request in self._requests:
            if request.capture is not None:
                self._requests.remove(request)
                return request
        return None

    def _take_turn(self) -> InferenceRequest | None:
        if not self._turns and (capture := self._take_picture()) is not None:
            for question in self._questions:
                if question.concerns(capture.camera):
                    job = InferenceRequest(question.instruction, question.selection, capture.camera, capture, question)
                    job.answer.add_done_callback(partial(_deliver, question))
                    self._turns.append(job)
        return self._turns.popleft() if self._turns else None

    def _take_picture(self) -> CapturedImage | None:
        """The picture of the camera that has waited longest for its turn, of those that are due."""
        now_s = time.monotonic()
        for camera in tuple(self._order):
            if camera not in self._newest or now_s < self._due_s[camera]:
                continue
            capture = self._newest.pop(camera)
            if self._is_too_old(capture):
                continue
            self._late_in_a_row = 0
            self._order.remove(camera)
            self._order.append(camera)
            period_s = 1.0 / self._tuning.max_rate_hz if self._tuning.max_rate_hz > 0 else 0.0
            due_s = self._due_s[camera] + period_s  # from when it was due, so that a camera's jitter does not add up
            self._due_s[camera] = due_s if due_s > now_s else now_s + period_s
            return capture
        return None

    def _due_in_s(self) -> float | None:
        """Seconds until a picture that waits is due; None when none waits."""
        due_s = [self._due_s[camera] for camera in self._newest]
        return max(min(due_s) - time.monotonic(), 0.0) if due_s else None

    def _is_too_old(self, capture: CapturedImage) -> bool:
        """Whether to leave a picture out, which is counted."""
        self._age_s = capture.age_s + time.monotonic() - capture.arrived_s
        is_too_old = 0 < self._tuning.max_age_s < self._age_s
        self.too_old += is_too_old
        self._late_in_a_row += is_too_old
        return is_too_old


def _deliver(question: ContinuousQuery, answer: Future[InferenceResult]) -> None:
    question.deliver(answer.result())
