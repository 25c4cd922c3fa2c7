"""`Supervisor`: replaces the worker if the model runs out of memory, breaks or gets stuck. Imports no ROS.

Python cannot end a thread. A stuck thread is abandoned together with its memory, weights included, and another one
loads the weights again, so that both are in memory. If the second one gets stuck too, no third is started: only a
restart of the process helps. A library that is stuck while it holds Python's interpreter lock stops the whole process,
which only an external monitor notices, by missing /diagnostics.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from instructsam_model import CanceledError, Segmenter
from instructsam_ros.inference.error_codes import RequestTimeoutError, error_message
from instructsam_ros.inference.image_sizes import ImageSizes, describe_warm_up
from instructsam_ros.inference.requests import InferenceRequest
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.worker import RequestPipeline, Worker
from instructsam_ros.options import ParameterGroup, parameter

STOP_TIMEOUT_S = 10.0
"""Time for the request in progress to finish when the node shuts down."""
MAX_RESTART_DELAY_S = 60.0


@dataclass(frozen=True)
class FailureLimits(ParameterGroup):
    """Failure limits.

    Attributes:
        stuck_timeout_s: a request that takes longer is reported and failed; after twice this time the worker is
            abandoned. 0 for no limit.
        max_failures: after this many failures in a row the supervisor is exhausted; 0 for no limit.
    """

    stuck_timeout_s: float = parameter(
        120.0, 'Time limit of inference in seconds. The request fails after this time; the thread is replaced and the '
        'model is reloaded after twice this time. 0: no limit.',
        range_=(0.0, 86400.0), name='stuck_timeout',
    )  # fmt: skip
    max_failures: int = parameter(
        0, 'Deactivate the node after this number of consecutive model failures. 0: never.', range_=(0, 100000)
    )


class Supervisor:
    """Starts a worker, and another one when it has ended or is stuck. All methods belong to one thread.

    Args:
        load: loads the segmenter, in the worker's thread.
        pipeline: processes requests.
        scheduler: chooses them.
        sizes: image sizes to warm up for.
        limits: see there.

    Attributes:
        worker: the current one.
        sizes: as above.
        limits: may be replaced at any time.
        restarts: number of workers that replaced another one.
        error: what is wrong with the model; empty if nothing is.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        pipeline: RequestPipeline,
        scheduler: Scheduler,
        sizes: ImageSizes | None = None,
        limits: FailureLimits | None = None,
    ) -> None:
        self._load = load
        self._pipeline = pipeline
        self._scheduler = scheduler
        self.sizes = sizes or ImageSizes(enabled=False)
        self._abandoned: Worker | None = None
        self._stuck: InferenceRequest | None = None
        self._restart_at_s: float | None = None
        self._failures = pipeline.failures
        self.worker = self._make_worker()
        self.limits = limits or FailureLimits()
        self.restarts = 0
        self.error = ''

    @property
    def activity(self) -> str:
        """What delays results at the moment; empty if nothing does."""
        size_wh = self.sizes.warming_up
        if size_wh is not None:
            return describe_warm_up(size_wh)
        return f'loading the checkpoint ... {self.worker.loading_s:.0f} s' if self.worker.is_loading else ''

    @property
    def failures(self) -> int:
        """Number of failures of the model in a row."""
        return self._failures.in_a_row

    @property
    def is_exhausted(self) -> bool:
        """Whether the model has failed `FailureLimits.max_failures` times in a row."""
        return 0 < self.limits.max_failures <= self.failures

    def start(self) -> Future[None]:
        """Start the worker; return a future that is done when the segmenter is loaded or `load` has raised."""
        self.worker.start()
        return self.worker.ready

    def stop(self, reason: str) -> None:
        """Finish the request in progress, within `STOP_TIMEOUT_S`, and fail the others."""
        # A stuck thread does not end and loading cannot be stopped: the thread frees the weights when it is done.
        is_hopeless = self._stuck is not None or self.worker.is_loading
        self.worker.retire(0.0 if is_hopeless else STOP_TIMEOUT_S)
        self._pipeline.drain(STOP_TIMEOUT_S)
        self.cancel_all(reason)

    def cancel_all(self, reason: str) -> None:
        """Cancel all requests; the model stops within one pass of the one in progress."""
        self._scheduler.clear(CanceledError(reason))
        self._pipeline.cancel(CanceledError(reason))
        if (request := self.worker.request) is not None:
            self._pipeline.fail(request, CanceledError(reason))

    def reset_failures(self) -> None:
        """Reset the failure counter."""
        self._failures.reset()

    def check(self) -> str:
        """Check the worker; to be called about once a second.

        Returns:
            A new error since the last call; empty if there is none.
        """
        if not self.worker.is_alive:
            return self._replace_ended()
        if error := self.worker.warm_up_error:
            self.worker.warm_up_error = ''
            return error
        if self.worker.ready.done():
            return self._check_stuck()
        return ''

    def _make_worker(self) -> Worker:
        return Worker(self._reload, self._pipeline, self._scheduler, self.sizes)

    def _reload(self) -> Segmenter:
        gc.collect()  # reference cycles of an exception may hold the memory that ran out
        return self._load()

    def _replace_ended(self) -> str:
        """Start another worker: the first at once, each further one after twice the delay."""
        if self._restart_at_s is None:
            # First call after the thread ended: schedule the restart. `ready` has an exception if loading failed.
            if (failure := self.worker.ready.exception()) is not None:
                self._failures.add(f'{type(failure).__name__}: {failure}')
            delay_s = min(2.0**self._failures.restarts_in_a_row - 1.0, MAX_RESTART_DELAY_S)
            self._restart_at_s = time.monotonic() + delay_s
            self._failures.restarts_in_a_row += 1
            self.error = f'the segmenter is reloaded in {delay_s:g} s, after: {self._failures.last}'
            return self.error
        if time.monotonic() >= self._restart_at_s:
            self._restart_at_s = None
            self._restart()
        return ''

    def _restart(self) -> None:
        self.worker = self._make_worker()
        self.worker.start()
        self.restarts += 1

    def _check_stuck(self) -> str:
        timeout_s, busy_s, request = self.limits.stuck_timeout_s, self.worker.busy_s, self.worker.request
        if request is None or not 0 < timeout_s < busy_s:
            self._stuck, self.error = None, ''
            return ''
        error = RequestTimeoutError(f'the model has been busy with one image for more than {timeout_s:g} s')
        # The same request as in the previous check was reported already.
        is_new, self._stuck = request is not self._stuck, request
        self._scheduler.clear(error)  # waiting requests cannot be processed in time
        if is_new:
            self.error = error_message(error)
            self._failures.add(self.error)
            self._pipeline.fail(request, error)
            return self.error
        if busy_s > 2 * timeout_s:
            return self._abandon()
        return ''

    def _abandon(self) -> str:
        """Leave a stuck thread behind and start another worker, unless two threads are stuck."""
        # Each stuck thread holds the memory of one model, so that there are at most two.
        if self._abandoned is not None and self._abandoned.is_alive:
            previous, self.error = self.error, 'the model is stuck again; restart the process'
            return self.error if previous != self.error else ''
        self.worker.retire()
        self._abandoned, self._stuck = self.worker, None
        self._restart()
        self.error = 'the thread of the model is stuck and was abandoned; another one reloads the segmenter'
        return self.error
