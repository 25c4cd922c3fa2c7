"""One thread owns a segmenter and answers what the scheduler gives it. Nothing here knows ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from instructsam_model import Frame, FrameError, Instruction, Segmenter
from instructsam_ros.inference.image_sizes import Sizes, SizeWh, describe
from instructsam_ros.inference.requests import CapturedImage, InferenceRequest, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.node.memory import Heap

WARM_UP = Instruction('warm up')
"""What a failure to get ready is the answer to."""


class Worker:
    """A thread that loads a segmenter and answers jobs until it is retired, runs out of memory or breaks.

    It is a daemon: Python cannot end a thread that is stuck, and such a one must not keep the process from ending.

    Args:
        load: makes the segmenter; runs in the thread that will use it, which CUDA graphs and compiled models ask for.
        decode: reads the message of a capture; raises FrameError when it is broken.
        scheduler: gives the jobs.
        report: is told every answer of the segmenter, before whoever asked; must not raise.
        complete: adds to an answer what is not the model's business, in the worker's thread; must not raise.
        sizes: what the segmenter is made ready for as soon as it is known, before anything else is answered.

    Attributes:
        ready: done once the segmenter is loaded; holds what loading raised.
        segmenter: None while it is loaded and after the thread has ended.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        decode: Callable[[Any], Frame],
        scheduler: Scheduler,
        report: Callable[[InferenceResult], None],
        complete: Callable[[InferenceResult], InferenceResult],
        sizes: Sizes,
    ) -> None:
        self._load = load
        self._decode = decode
        self._scheduler = scheduler
        self._report = report
        self._complete = complete
        self._sizes = sizes
        self._heap = Heap()
        self._retired = threading.Event()
        self._decoded: tuple[CapturedImage, Frame] | None = None
        self._at_work: tuple[InferenceRequest, float] | None = None
        self._thread = threading.Thread(target=self._run, name='segmenter', daemon=True)
        self.ready: Future[None] = Future()
        self.segmenter: Segmenter | None = None

    @property
    def job(self) -> InferenceRequest | None:
        """What it is busy with."""
        at_work = self._at_work
        return at_work[0] if at_work is not None else None

    @property
    def busy_s(self) -> float:
        """How long it has been busy with the job; 0 while it waits or loads."""
        at_work = self._at_work
        return time.monotonic() - at_work[1] if at_work is not None else 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, which begins with loading."""
        self._thread.start()

    def retire(self, timeout_s: float = 0.0) -> None:
        """Let the answer in progress finish, take no other, and wait so long for the end of the thread."""
        self._retired.set()
        self._scheduler.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.segmenter = self._load()
        except BaseException as error:
            # Whoever waits for it shall not take the SystemExit of a library for one of its own.
            wrapped = RuntimeError(f'{type(error).__name__}: {error}')
            self.ready.set_exception(error if isinstance(error, Exception) else wrapped)
            return
        self.ready.set_result(None)
        try:
            while not self._retired.is_set():
                if (size_wh := self._sizes.take()) is not None:
                    cause = self._warm_up(self.segmenter, size_wh)
                elif (job := self._scheduler.next_job(self._is_called_off)) is not None:
                    cause = self._work(self.segmenter, job)
                    self._heap.tidy()
                else:
                    continue
                if cause is not None and (is_out_of_memory(cause) or is_fatal(cause)):
                    return
        finally:
            if (job := self.job) is not None:
                job.fail('the thread of the model has ended')
            # What is left of a thread that ended must not hold the weights: the next one needs the room.
            self._at_work = self._decoded = self.segmenter = None

    def _is_called_off(self) -> bool:
        """Whether to wait no longer for a job."""
        return self._retired.is_set() or self._sizes.is_due

    def _warm_up(self, segmenter: Segmenter, size_wh: SizeWh) -> BaseException | None:
        """Make the segmenter ready for a size, once; what it raised, which is reported as that of an answer is."""
        try:
            segmenter.warm_up(size_wh)
        except FrameError:
            return None  # the answers about images of that size say so
        except BaseException as error:
            reason = f'{describe(size_wh)} failed: {type(error).__name__}: {error}'
            self._report(InferenceResult(WARM_UP, error=reason, cause=error))
            return error
        finally:
            self._sizes.finish()
        return None

    def _work(self, segmenter: Segmenter, job: InferenceRequest) -> BaseException | None:
        """Answer a job; what was raised instead of an answer."""
        self._at_work = job, time.monotonic()
        answer = self._answer(segmenter, job)
        if answer is not None and not job.answer.done():  # else somebody has given up waiting and has said so
            self._report(answer)
            job.settle(self._complete(answer))
        self._at_work = None
        return answer.cause if answer is not None else None

    def _answer(self, segmenter: Segmenter, job: InferenceRequest) -> InferenceResult | None:
        """The answer; None for a standing question about an image whose size is new, which is asked again later."""
        assert job.capture is not None
        frame = None
        try:
            frame = self._read(job.capture)
            if job.question is not None and self._sizes.expect(frame.size_wh):
                self._scheduler.put_back(job.capture)
                return None
            started_s = time.monotonic()
            selection = job.selection or self._scheduler.selection
            segmentation = segmenter.segment(frame, job.instruction, selection)
        except BaseException as error:  # whatever goes wrong is an answer, not the end of the node
            reason = str(error) if isinstance(error, FrameError) else f'{type(error).__name__}: {error}'
            return InferenceResult(job.instruction, job.capture, frame, error=reason, cause=error)
        inference_s = time.monotonic() - started_s
        return InferenceResult(job.instruction, job.capture, frame, segmentation, inference_s=inference_s)

    def _read(self, capture: CapturedImage) -> Frame:
        """The picture decoded: the same `Frame` for all jobs about it in a row, since its encoding is kept with it."""
        if self._decoded is None or self._decoded[0] is not capture:
            self._decoded = None
            try:
                self._decoded = capture, self._decode(capture.message)
            except BaseException:
                self._scheduler.forget(capture)
                raise
        return self._decoded[1]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; torch's is known by its name, for torch is not imported here."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {'MemoryError', 'OutOfMemoryError'}) or (
        'RuntimeError' in names and 'out of memory' in str(error).lower()
    )


def is_fatal(error: BaseException) -> bool:
    """Whether an exception, such as SystemExit of a library, asks for the end of the thread."""
    return not isinstance(error, Exception)
