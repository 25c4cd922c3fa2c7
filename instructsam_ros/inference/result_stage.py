"""`ResultStage`: the thread that finishes results, so that nothing waits in the thread of the model. Imports no ROS.

Depth and transforms may arrive later than the result of the model. Results of one camera are finished in their order,
so that one which waits holds up the later ones of its camera, but neither other cameras nor single requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from instructsam_ros.inference.requests import InferenceRequest, InferenceResult

logger = logging.getLogger(__name__)

CAPACITY = 16
"""Number of results that may wait; with one more, the oldest waits no longer. Each holds an image and its masks."""
HARD_CAPACITY = 2 * CAPACITY
"""With this number of results, which all wait for nothing but this thread, the thread of the model has to wait."""
POLL_PERIOD_S = 0.01
"""Period of the check whether a result is ready: transforms arrive without a notice."""
REPLY_MARGIN = 0.1
"""A single request is replied to when this share of its timeout is left, with what has arrived until then."""


@dataclass(eq=False)
class PendingResult:
    """A result that has not been published.

    Attributes:
        request: not claimed.
        result: of the model.
        is_cut_short: whether it was finished before what it waited for had arrived or was late.
    """

    request: InferenceRequest
    result: InferenceResult
    is_cut_short: bool = False

    @property
    def is_due(self) -> bool:
        """Whether the caller of a single request cannot wait any longer."""
        request = self.request
        left_s = request.deadline_s - time.monotonic()
        return request.query is None and left_s < REPLY_MARGIN * request.timeout_s


class ResultStage:
    """Finishes results when they are ready. All methods may be called from any thread.

    The thread starts with the first result, and ends in `close`.

    Args:
        is_ready: whether waiting longer for what a result lacks is useless; does not wait.
        finish: locates, tracks and publishes a result.

    Attributes:
        cut_short: number of results that were finished early, because too many were waiting.
    """

    def __init__(self, is_ready: Callable[[PendingResult], bool], finish: Callable[[PendingResult], None]) -> None:
        self._is_ready = is_ready
        self._finish = finish
        self._changed = threading.Condition()
        self._pending: list[PendingResult] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._flushed: set[PendingResult] = set()
        self._thread: threading.Thread | None = None
        self._closing = False
        self.cut_short = 0

    @property
    def waiting(self) -> int:
        """Number of results that are not finished."""
        return len(self._pending)

    def put(self, pending: PendingResult) -> None:
        """Add a result; blocks only while `HARD_CAPACITY` results wait, if finishing them is slower than the model."""
        with self._changed:
            self._start()
            self._changed.wait_for(lambda: len(self._pending) < HARD_CAPACITY or self._closing)
            self._pending.append(pending)
            self._changed.notify_all()

    def call(self, action: Callable[[], None]) -> None:
        """Run an action in the thread of the results, before the next result; does not wait."""
        with self._changed:
            self._start()
            self._calls.append(action)
            self._changed.notify_all()

    def notify(self) -> None:
        """Check again which results are ready, because something has arrived."""
        with self._changed:
            self._changed.notify_all()

    def flush(self, is_meant: Callable[[PendingResult], bool] = lambda pending: True) -> None:
        """Finish those of the results that are waiting now without waiting longer."""
        with self._changed:
            self._flushed.update(filter(is_meant, self._pending))
            self._changed.notify_all()

    def clear(self) -> list[PendingResult]:
        """Remove the results that are waiting now, and return them."""
        with self._changed:
            removed, self._pending = self._pending, []
            self._flushed.clear()
            self._changed.notify_all()
        return removed

    def close(self, timeout_s: float) -> None:
        """Finish all results without waiting longer, and end the thread, for at most `timeout_s`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _start(self) -> None:
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._run, name='results', daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (action := self._take()) is not None:
            try:
                action()
            except Exception:
                logger.exception('a result could not be finished')
            del action  # or it holds its image until the next one

    def _take(self) -> Callable[[], None] | None:
        """Wait for an action or a result to finish, and remove it; return None at the end."""
        with self._changed:
            while True:
                if self._calls:
                    return self._calls.popleft()
                if (pending := self._find()) is not None:
                    self._pending.remove(pending)
                    self._flushed.discard(pending)
                    self._changed.notify_all()
                    return partial(self._finish, pending)
                if self._closing and not self._pending:
                    self._thread = None  # the next result starts another one
                    return None
                self._changed.wait(POLL_PERIOD_S if self._pending else None)

    def _find(self) -> PendingResult | None:
        """Return the first result that is ready: of single requests any, of continuous queries in their order."""
        held: set[str] = set()
        for pending in sorted(self._pending, key=lambda each: each.request.query is not None):
            is_stream, camera = pending.request.query is not None, pending.request.camera
            if is_stream and camera in held:
                continue
            if self._must_finish(pending):
                return pending
            if is_stream:
                held.add(camera)
        return None

    def _must_finish(self, pending: PendingResult) -> bool:
        if self._is_ready(pending):
            return True
        pending.is_cut_short = self._closing or pending in self._flushed or pending.is_due
        # The oldest waits no longer; the others have their turn after it.
        if len(self._pending) > CAPACITY and pending is self._pending[0]:
            pending.is_cut_short = True
            self.cut_short += 1
        return pending.is_cut_short
