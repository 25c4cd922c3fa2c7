"""One thread owns the model and asks it about the newest picture.

Pictures are replaced, never queued: an answer is at most one inference old. Requests go before the standing
instruction. Nothing here knows ROS: a picture is whatever `decode` makes a `Frame` of.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from instructsam_model import Frame, FrameError, Instruction, Segmentation, Segmenter, Selection

if TYPE_CHECKING:
    from instructsam_ros.measuring import Measurement
    from instructsam_ros.surfaces import Surface


@dataclass(frozen=True, eq=False)
class Capture:
    """A picture as it came in, not decoded yet.

    Attributes:
        message: what `decode` reads.
        age_s: seconds from its stamp to its arrival, on the camera's clock; 0 when nobody needs to know.
        depth: whatever leads to the depth of the picture; None when nobody measures.
        arrived_s: when it came in, on the clock of `time.monotonic`.
    """

    message: Any
    age_s: float = 0.0
    depth: Any = None
    arrived_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of asking one instruction about one picture.

    Attributes:
        instruction: the question.
        capture: the picture; None when none arrived.
        frame: the picture decoded; None when it could not be, or none arrived.
        segmentation: the answer; None when there is none, and then `error` says why.
        error: why there is no answer; empty otherwise.
        cause: the exception behind `error`, if one was raised.
        inference_s: seconds that the model took.
        measurement: where the instances are in 3D; None without depth.
    """

    instruction: Instruction
    capture: Capture | None = None
    frame: Frame | None = None
    segmentation: Segmentation | None = None
    error: str = ''
    cause: Exception | None = None
    inference_s: float = 0.0
    measurement: Measurement | None = None

    @property
    def target(self) -> Surface | None:
        """What depth shows of the best instance; None without one, or without depth."""
        return self.measurement.surfaces[0] if self.measurement is not None and self.measurement.surfaces else None


@dataclass(eq=False)
class _Request:
    instruction: Instruction
    selection: Selection | None
    capture: Capture | None
    settle: Callable[[Answer], None]


@dataclass(frozen=True)
class Tuning:
    """How the standing instruction is answered.

    Attributes:
        selection: which of the network's slots become instances; None means the segmenter's own choice.
        max_rate_hz: answers per second at most; 0 means no limit.
        max_age_s: pictures older than that are left out; 0 means no limit.
    """

    selection: Selection | None = None
    max_rate_hz: float = 0.0
    max_age_s: float = 0.0


class Worker:
    """The thread that owns a segmenter, its one-slot mailbox and its requests.

    All methods may be called from any thread.

    Args:
        load: makes the segmenter; runs in the thread that will use it, which CUDA graphs and compiled models ask for.
        decode: reads the message of a capture; raises FrameError when it is broken.
        deliver: takes the answers to the standing instruction, in the worker thread; must not raise.
        complete: adds to every answer what is not the model's business, in the worker thread; must not raise.

    Attributes:
        replaced: how many pictures gave way to a newer one before the model had time for them.
        too_old: how many pictures were left out because of their age.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        decode: Callable[[Any], Frame],
        deliver: Callable[[Answer], None],
        complete: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> None:
        self._load = load
        self._decode = decode
        self._deliver = deliver
        self._complete = complete
        self._changed = threading.Condition()
        self._requests: deque[_Request] = deque()
        self._newest: Capture | None = None
        self._standing: Instruction | None = None
        self._tuning = Tuning()
        self._due_s = 0.0
        self._stopping = False
        self.replaced = 0
        self.too_old = 0
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name='segmenter')

    @property
    def standing(self) -> Instruction | None:
        """The standing instruction; None while idle."""
        return self._standing

    def start(self) -> None:
        """Start the thread and wait until the segmenter is loaded.

        Raises:
            Exception: whatever `load` raised; the thread has ended then.
        """
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Let the answer in progress finish, refuse the rest and wait for the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        self.clear('the node was shut down')

    def offer(self, capture: Capture) -> None:
        """Put a picture into the mailbox, in place of the one that is there."""
        with self._changed:
            if self._is_too_old(capture):
                self.too_old += 1
                return
            for request in self._requests:
                request.capture = request.capture or capture
            if self._standing is not None:
                self.replaced += self._newest is not None
                self._newest = capture
            self._changed.notify()

    def stand(self, instruction: Instruction | None) -> None:
        """Answer this instruction for every picture from now on; None means idle."""
        with self._changed:
            self._standing = instruction
            if instruction is None:
                self._newest = None
            self._changed.notify()

    def tune(self, tuning: Tuning) -> None:
        """Set how the standing instruction is answered from now on."""
        with self._changed:
            self._tuning = tuning
            self._due_s = 0.0
            self._changed.notify()

    def ask(
        self,
        instruction: Instruction,
        timeout_s: float,
        *,
        capture: Capture | None = None,
        selection: Selection | None = None,
    ) -> Future[Answer]:
        """Ask once, before the standing instruction has its turn.

        Args:
            instruction: the question.
            timeout_s: after so many seconds the answer is a failure; what the model is busy with goes on.
            capture: the picture; None means the first that arrives from now on.
            selection: None means the one of `tune`.
        """
        future: Future[Answer] = Future()

        def settle(answer: Answer) -> None:
            with suppress(InvalidStateError):  # whoever asked was told already that it took too long
                future.set_result(answer)

        request = _Request(instruction, selection, capture, settle)
        timer = threading.Timer(timeout_s, self._expire, (request, timeout_s))
        timer.daemon = True
        future.add_done_callback(lambda _: timer.cancel())
        timer.start()
        with self._changed:
            self._requests.append(request)
            self._changed.notify()
        return future

    def clear(self, reason: str) -> None:
        """Forget the waiting picture and refuse the waiting requests."""
        with self._changed:
            refused, self._requests = self._requests, deque()
            self._newest = None
        for request in refused:
            request.settle(Answer(request.instruction, error=reason))

    def _expire(self, request: _Request, timeout_s: float) -> None:
        waited_for = 'no image arrived' if request.capture is None else 'the model was not done'
        request.settle(Answer(request.instruction, request.capture, error=f'{waited_for} within {timeout_s:g} s'))
        with self._changed:
            if request in self._requests:
                self._requests.remove(request)

    def _run(self) -> None:
        try:
            segmenter = self._load()
        except Exception as error:
            self._ready.set_exception(error)
            return
        self._ready.set_result(None)
        while (job := self._next_job()) is not None:
            job.settle(self._complete(self._answer(segmenter, job)))

    def _next_job(self) -> _Request | None:
        """Wait for the next question; None when it is time to stop."""
        with self._changed:
            while not self._stopping:
                job = self._take_request() or self._take_standing()
                if job is not None:
                    return job
                due_in_s = self._due_s - time.monotonic()
                self._changed.wait(due_in_s if self._newest is not None and due_in_s > 0 else None)
        return None

    def _take_request(self) -> _Request | None:
        for request in self._requests:
            if request.capture is not None:
                self._requests.remove(request)
                return request
        return None

    def _take_standing(self) -> _Request | None:
        now_s = time.monotonic()
        if self._standing is None or self._newest is None or now_s < self._due_s:
            return None
        capture, self._newest = self._newest, None
        if self._is_too_old(capture):
            self.too_old += 1
            return None
        period_s = 1.0 / self._tuning.max_rate_hz if self._tuning.max_rate_hz > 0 else 0.0
        due_s = self._due_s + period_s  # from the time it was due, so that a camera's jitter does not add up
        self._due_s = due_s if due_s > now_s else now_s + period_s
        return _Request(self._standing, None, capture, self._deliver)

    def _is_too_old(self, capture: Capture) -> bool:
        age_s = capture.age_s + time.monotonic() - capture.arrived_s
        return 0 < self._tuning.max_age_s < age_s

    def _answer(self, segmenter: Segmenter, job: _Request) -> Answer:
        assert job.capture is not None
        frame = None
        try:
            frame = self._decode(job.capture.message)
            started_s = time.monotonic()
            segmentation = segmenter.segment(frame, job.instruction, job.selection or self._tuning.selection)
        except Exception as error:  # whatever goes wrong is an answer, not the end of the node
            reason = str(error) if isinstance(error, FrameError) else f'{type(error).__name__}: {error}'
            return Answer(job.instruction, job.capture, frame, error=reason, cause=error)
        inference_s = time.monotonic() - started_s
        return Answer(job.instruction, job.capture, frame, segmentation, inference_s=inference_s)
