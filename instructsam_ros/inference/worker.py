"""`Worker`: the thread that owns a segmenter. Imports no ROS."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from instructsam_model import FrameError, InferenceError, Segmenter
from instructsam_ros.inference.error_codes import is_fatal, is_out_of_memory
from instructsam_ros.inference.failures import FailureCounter
from instructsam_ros.inference.heap import HeapTrimmer
from instructsam_ros.inference.image_sizes import ImageSizes, SizeWh, describe_warm_up
from instructsam_ros.inference.requests import InferenceRequest, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler

logger = logging.getLogger(__name__)
THREAD_NAME = 'segmenter'


class RequestPipeline(Protocol):
    """What a worker needs of `Pipeline`."""

    failures: FailureCounter

    def run(self, request: InferenceRequest, segmenter: Segmenter, sizes: ImageSizes) -> InferenceResult | None:
        """Process a request; its result is published by another thread."""
        ...

    def fail(self, request: InferenceRequest, error: Exception) -> None:
        """Finish a request with an error unless it is finished."""
        ...

    def cancel(self, error: Exception) -> None:
        """Fail the requests whose results are not published."""
        ...

    def drain(self, timeout_s: float) -> None:
        """Publish all results, within a time."""
        ...


class Worker:
    """A thread that loads a segmenter and processes requests until it is retired, runs out of memory or breaks.

    It is a daemon thread: Python cannot end a thread that is stuck, and such a thread must not keep the process alive.

    Args:
        load: loads the segmenter; runs in the thread that will use it, as CUDA graphs and compiled models require.
        pipeline: processes requests.
        scheduler: chooses them.
        sizes: image sizes to warm the segmenter up for, before any other request.

    Attributes:
        ready: done when the segmenter is loaded; holds the exception if loading failed.
        segmenter: None while it is being loaded and after the thread has ended.
        memory_bytes: memory of the segmenter on its device after the last request; None if unknown.
        warm_up_error: message of the last failed warm-up; the supervisor reads and clears it.
    """

    def __init__(
        self, load: Callable[[], Segmenter], pipeline: RequestPipeline, scheduler: Scheduler, sizes: ImageSizes
    ) -> None:
        self._load = load
        self._pipeline = pipeline
        self._scheduler = scheduler
        self._sizes = sizes
        self._heap = HeapTrimmer()
        self._retired = threading.Event()
        self._current: tuple[InferenceRequest, float] | None = None
        self._started_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self.ready: Future[None] = Future()
        self.segmenter: Segmenter | None = None
        self.memory_bytes: int | None = None
        self.warm_up_error = ''

    @property
    def request(self) -> InferenceRequest | None:
        """The request in progress."""
        current = self._current
        return current[0] if current is not None else None

    @property
    def busy_s(self) -> float:
        """Seconds since the request in progress began; 0 without one."""
        current = self._current
        return time.monotonic() - current[1] if current is not None else 0.0

    @property
    def is_loading(self) -> bool:
        """Whether the thread is loading the segmenter."""
        return self.is_alive and not self.ready.done()

    @property
    def loading_s(self) -> float:
        """Seconds since the start of the thread, which first loads the segmenter."""
        return time.monotonic() - self._started_s

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, which first loads the segmenter."""
        self._started_s = time.monotonic()
        self._thread.start()

    def retire(self, timeout_s: float = 0.0) -> None:
        """Finish the current request, accept no new ones, and join the thread for at most `timeout_s`."""
        self._retired.set()
        self._scheduler.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.segmenter = self._load()
        except BaseException as error:
            # The SystemExit of a library must not end the thread that waits for `ready`.
            wrapped = RuntimeError(f'{type(error).__name__}: {error}')
            self.ready.set_exception(error if isinstance(error, Exception) else wrapped)
            return
        # Asked here, because only this thread may call the segmenter.
        self.memory_bytes = self.segmenter.memory_bytes()
        self.ready.set_result(None)
        try:
            self._process_requests(self.segmenter)
        finally:
            if (request := self.request) is not None:
                self._pipeline.fail(request, InferenceError('the thread of the model has ended'))
            self._close(self.segmenter)
            # A thread that has ended must not hold the weights: the next one needs the memory.
            self._current = self.segmenter = None

    def _process_requests(self, segmenter: Segmenter) -> None:
        while not self._retired.is_set():
            # Warm-ups go first: requests for the new size would be slow, and it happens once per size.
            if (size_wh := self._sizes.start_next()) is not None:
                error = self._warm_up(segmenter, size_wh)
            elif (request := self._scheduler.next_request(self._must_not_wait)) is not None:
                error = self._process(segmenter, request)
                self.memory_bytes = segmenter.memory_bytes()
                self._heap.trim_heap()
            else:
                continue
            # The supervisor starts another worker, which reloads the segmenter.
            if error is not None and (is_out_of_memory(error) or is_fatal(error)):
                return

    def _must_not_wait(self) -> bool:
        return self._retired.is_set() or self._sizes.is_due

    def _warm_up(self, segmenter: Segmenter, size_wh: SizeWh) -> BaseException | None:
        """Warm up for a size, once; return the exception if that failed."""
        try:
            segmenter.warm_up(size_wh)
        except FrameError:
            return None  # every result for images of this size says so
        except BaseException as error:
            self.warm_up_error = f'{describe_warm_up(size_wh)} failed: {type(error).__name__}: {error}'
            self._pipeline.failures.add(self.warm_up_error)
            return error
        finally:
            self._sizes.finish()
        return None

    def _process(self, segmenter: Segmenter, request: InferenceRequest) -> BaseException | None:
        """Process a request; return the exception if it failed."""
        assert request.capture is not None
        self._current = request, time.monotonic()
        result = self._pipeline.run(request, segmenter, self._sizes)
        self._current = None
        if result is None:  # the next loop warms up for the size of this image
            self._scheduler.put_back(request.capture)
            return None
        if result.frame is None:  # other queries would fail to decode it too
            self._scheduler.drop(request.capture)
        return result.error

    def _close(self, segmenter: Segmenter) -> None:
        try:
            segmenter.close()
        except Exception:
            logger.exception('closing the segmenter failed')
