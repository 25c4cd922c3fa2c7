"""Keeps a worker at work: what becomes of it when the model fails, runs out of memory or does not come back.

Python cannot end a thread. One that is stuck is left behind with the memory that it holds, weights included, and
another one loads the weights again: for a while both are in memory. If the second is stuck too, no third is started,
for nothing but a new process helps then. And while a library is stuck without letting go of Python's interpreter lock,
the whole process stands still; only who watches it from outside can tell, by /diagnostics that no longer come.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from instructsam_model import Frame, FrameError, Segmenter
from instructsam_ros.inference.image_sizes import Sizes, describe
from instructsam_ros.inference.requests import InferenceRequest, InferenceResult
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.worker import Worker

STOP_TIMEOUT_S = 10.0
"""An answer in progress may take so long to finish when the node shuts down."""
MAX_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Limits:
    """How much is put up with.

    Attributes:
        stuck_timeout_s: an answer that takes longer is reported, one that takes twice as long given up; 0 means never.
        max_failures: after so many failures in a row it is `exhausted`; 0 means never.
    """

    stuck_timeout_s: float = 0.0
    max_failures: int = 0


class Supervisor:
    """Starts a worker, and another one when it has ended or is stuck. All methods belong to one thread.

    Args:
        load: makes the segmenter, in the worker's thread.
        decode: reads the message of a capture.
        scheduler: gives the jobs.
        complete: adds to an answer what is not the model's business, in the worker's thread; must not raise.
        sizes: what a worker makes its segmenter ready for.

    Attributes:
        limits: may be changed at any time.
        failures: how many times in a row the model has failed.
        restarts: how many workers were started in the place of another.
        trouble: what is wrong with the model at present; empty when nothing is.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        decode: Callable[[Any], Frame],
        scheduler: Scheduler,
        complete: Callable[[InferenceResult], InferenceResult] = lambda answer: answer,
        sizes: Sizes | None = None,
    ) -> None:
        self._load = load
        self._decode = decode
        self._scheduler = scheduler
        self._complete = complete
        self._sizes = sizes or Sizes(enabled=False)
        self._worker = self._make_worker()
        self._abandoned: Worker | None = None
        self._stuck: InferenceRequest | None = None
        self._restart_at_s: float | None = None
        self._restarts_in_a_row = 0
        self._last_failure = ''
        self._cold = ''
        self.limits = Limits()
        self.failures = 0
        self.restarts = 0
        self.trouble = ''

    @property
    def segmenter(self) -> Segmenter | None:
        """What answers; None while it is loaded."""
        return self._worker.segmenter

    @property
    def activity(self) -> str:
        """What keeps it from answering; empty when nothing does."""
        size_wh = self._sizes.warming
        return describe(size_wh) if size_wh is not None else ''

    @property
    def is_exhausted(self) -> bool:
        """Whether the model has failed `Limits.max_failures` times in a row."""
        return 0 < self.limits.max_failures <= self.failures

    def start(self) -> None:
        """Start the worker and wait until the segmenter is loaded.

        Raises:
            Exception: whatever `load` raised.
        """
        self._worker.start()
        self._worker.ready.result()

    def stop(self, reason: str) -> None:
        """Let the answer in progress finish, for `STOP_TIMEOUT_S` at most, and refuse the rest."""
        self._worker.retire(0.0 if self._stuck is not None else STOP_TIMEOUT_S)
        if (job := self._worker.job) is not None:
            job.fail(reason)
        self._scheduler.clear(reason)

    def forgive(self) -> None:
        """Count failures anew."""
        self.failures = 0
        self._last_failure = ''

    def check(self) -> str:
        """Look after the worker; to be called about once a second.

        Returns:
            What has gone wrong since the last call; empty when nothing has.
        """
        if not self._worker.is_alive:
            return self._replace_ended()
        if self._cold:
            said, self._cold = self._cold, ''
            return said
        if self._worker.ready.done():
            return self._check_stuck()
        return ''

    def _make_worker(self) -> Worker:
        return Worker(self._load_anew, self._decode, self._scheduler, self._report, self._complete, self._sizes)

    def _load_anew(self) -> Segmenter:
        gc.collect()  # what ran out of memory may be held by the cycles of its exception
        return self._load()

    def _report(self, answer: InferenceResult) -> None:
        """Count; runs in the worker's thread."""
        if answer.segmentation is not None:
            self.failures = self._restarts_in_a_row = 0
        elif not isinstance(answer.cause, FrameError):
            self._note_failure(answer.error)
            if answer.capture is None:  # about no image: it could not be made ready for a size, which nobody else says
                self._cold = answer.error

    def _note_failure(self, reason: str) -> None:
        self.failures += 1
        self._last_failure = reason

    def _replace_ended(self) -> str:
        """Start another worker, the first at once and each further one after a pause twice as long."""
        if self._restart_at_s is None:
            failure = self._worker.ready.exception()
            if failure is not None:
                self._note_failure(f'{type(failure).__name__}: {failure}')
            pause_s = min(2.0**self._restarts_in_a_row - 1.0, MAX_BACKOFF_S)
            self._restart_at_s = time.monotonic() + pause_s
            self._restarts_in_a_row += 1
            self.trouble = f'the segmenter is loaded anew in {pause_s:g} s, after: {self._last_failure}'
            return self.trouble
        if time.monotonic() >= self._restart_at_s:
            self._restart_at_s = None
            self._restart()
        return ''

    def _restart(self) -> None:
        self._worker = self._make_worker()
        self._worker.start()
        self.restarts += 1

    def _check_stuck(self) -> str:
        timeout_s, busy_s, job = self.limits.stuck_timeout_s, self._worker.busy_s, self._worker.job
        if job is None or not 0 < timeout_s < busy_s:
            self._stuck, self.trouble = None, ''
            return ''
        reason = f'the model has been busy with one image for more than {timeout_s:g} s'
        is_new, self._stuck = job is not self._stuck, job
        self._scheduler.clear(reason)  # nobody shall wait for it
        if is_new:
            self._note_failure(reason)
            self.trouble = reason
            job.fail(reason)
            return reason
        if busy_s > 2 * timeout_s:
            return self._abandon()
        return ''

    def _abandon(self) -> str:
        if self._abandoned is not None and self._abandoned.is_alive:
            said, self.trouble = self.trouble, 'the model is stuck again; only starting the process anew can help'
            return self.trouble if said != self.trouble else ''
        self._worker.retire()
        self._abandoned, self._stuck = self._worker, None
        self._restart()
        self.trouble = 'the thread of the model is stuck and was left behind; another one loads the segmenter anew'
        return self.trouble
