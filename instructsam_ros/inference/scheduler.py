"""Chooses the next request for the model.

Images are replaced, never queued: only the newest image of each camera waits. Single requests go before continuous
queries, but after each of them one continuous query has its turn, so that many requests do not stop the stream. Cameras
take turns, and all continuous queries are processed for one image after another, so that it is encoded once.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from instructsam_model import Instruction, Selection
from instructsam_ros.inference.deadlines import Deadlines
from instructsam_ros.inference.error_codes import RequestTimeoutError
from instructsam_ros.inference.prompt import Prompt
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceRequest, StreamOptions

MAX_CONSECUTIVE_DROPS = 10
"""Number of images dropped in a row because of their age after which there is a warning."""


class Scheduler:
    """Holds the newest image of each camera, the continuous queries and the single requests.

    All methods may be called from any thread.

    Args:
        cameras: their names.

    Attributes:
        images_replaced: number of images that a newer one replaced before the model had time for them.
        images_too_old: number of images that were dropped because of their age.
    """

    def __init__(self, cameras: Sequence[str] = ('',)) -> None:
        self._changed = threading.Condition()
        self._deadlines = Deadlines()
        self._requests: deque[InferenceRequest] = deque()
        self._turns: deque[InferenceRequest] = deque()
        self._after_request = False
        self._queries: tuple[ContinuousQuery, ...] = ()
        self._options = StreamOptions()
        self._newest: dict[str, CapturedImage] = {}
        self._order = deque(cameras)
        self._due_s = dict.fromkeys(cameras, 0.0)
        self._consecutive_drops = 0
        self._last_age_s = 0.0
        self.images_replaced = 0
        self.images_too_old = 0

    @property
    def queries(self) -> tuple[ContinuousQuery, ...]:
        """The continuous queries."""
        return self._queries

    @property
    def warning(self) -> str:
        """What is wrong with the time stamps of the images; empty if nothing is."""
        if self._consecutive_drops < MAX_CONSECUTIVE_DROPS:
            return ''
        return (
            f'the last {self._consecutive_drops} images were dropped: the stamp of the newest was '
            f'{self._last_age_s:.1f} s old when its turn came and max_age is {self._options.max_age_s:g} s; check the '
            f'clock of the camera and use_sim_time of the node, and set max_age to 0 when playing a bag'
        )

    @property
    def pending_requests(self) -> int:
        """Number of single requests that wait for the model or for an image."""
        return len(self._requests)

    def add_image(self, capture: CapturedImage) -> None:
        """Make an image the newest one of its camera."""
        with self._changed:
            if self._drop_if_too_old(capture):
                return
            # All single requests that wait for an image of this camera take the same one, so that it is encoded once.
            for request in self._requests:
                if request.capture is None and request.camera == capture.camera:
                    request.capture = capture
            if self._is_needed(capture):
                self.images_replaced += capture.camera in self._newest
                self._newest[capture.camera] = capture
            self._changed.notify_all()

    def set_queries(self, queries: Sequence[ContinuousQuery]) -> None:
        """Replace the continuous queries; an empty sequence means idle."""
        with self._changed:
            self._queries = tuple(queries)
            # Remaining turns of the current image stay, unless their query was removed.
            self._turns = deque(turn for turn in self._turns if turn.query in self._queries)
            self._newest = {camera: image for camera, image in self._newest.items() if self._is_needed(image)}
            self._changed.notify_all()

    def set_options(self, options: StreamOptions) -> None:
        """Set how continuous queries are processed from now on."""
        with self._changed:
            self._options = options
            # A new maximum rate applies at once.
            self._due_s = dict.fromkeys(self._due_s, 0.0)
            self._changed.notify_all()

    def submit(
        self,
        instruction: Instruction,
        timeout_s: float,
        *,
        capture: CapturedImage | None = None,
        selection: Selection | None = None,
        camera: str = '',
        prompt: Prompt | None = None,
    ) -> InferenceRequest:
        """Enqueue a single request.

        Args:
            instruction: what to look for.
            timeout_s: after this time the request fails with RequestTimeoutError.
            capture: the image; None for the first one that arrives from now on.
            selection: which instances to keep; None for the one of `set_options`.
            camera: name of the camera whose image it waits for.
            prompt: where the instances are; None for anywhere.
        """
        deadline_s = time.monotonic() + timeout_s
        request = InferenceRequest(
            instruction, selection, camera, capture, prompt=prompt, timeout_s=timeout_s, deadline_s=deadline_s
        )
        # Weakly: otherwise images of finished requests would stay in memory until the deadline.
        self._deadlines.add(deadline_s, partial(self._expire, weakref.ref(request), timeout_s))
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        return request

    def clear(self, error: Exception) -> None:
        """Drop the waiting images and fail the waiting requests."""
        with self._changed:
            failed, self._requests = self._requests, deque()
            self._turns.clear()
            self._newest.clear()
        # Outside of the lock, because callbacks of the future run here.
        for request in failed:
            request.fail(error)

    def put_back(self, capture: CapturedImage) -> None:
        """Process all queries for an image again, unless a newer one of its camera arrives first."""
        with self._changed:
            self._turns = deque(turn for turn in self._turns if turn.capture is not capture)
            if self._is_needed(capture):
                self.images_replaced += capture.camera in self._newest
                self._newest.setdefault(capture.camera, capture)
            # The image has had its turn under the maximum rate already.
            self._due_s[capture.camera] = 0.0

    def drop(self, capture: CapturedImage) -> None:
        """Process no further query for an image, because it cannot be decoded."""
        with self._changed:
            self._turns = deque(turn for turn in self._turns if turn.capture is not capture)

    def wake(self) -> None:
        """Wake up all threads in `next_request`, so that they call `stopped` again."""
        with self._changed:
            self._changed.notify_all()

    def next_request(self, stopped: Callable[[], bool]) -> InferenceRequest | None:
        """Wait for the next request; return None as soon as `stopped` returns True, after `wake`."""
        with self._changed:
            while not stopped():
                if (request := self._take()) is not None:
                    request.selection = request.selection or self._options.selection
                    return request
                self._changed.wait(self._due_in_s())
        return None

    def _expire(self, reference: weakref.ref[InferenceRequest], timeout_s: float) -> None:
        if (request := reference()) is None:  # finished and released
            return
        reason = 'no image arrived' if request.capture is None else 'the model was not done'
        request.fail(RequestTimeoutError(f'{reason} within {timeout_s:g} s'))
        with self._changed:
            if request in self._requests:
                self._requests.remove(request)

    def _take(self) -> InferenceRequest | None:
        # After a single request a continuous query goes first.
        single = None if self._after_request else self._take_single()
        request = single or self._take_turn() or self._take_single()
        self._after_request = request is not None and request.query is None
        return request

    def _take_single(self) -> InferenceRequest | None:
        for request in self._requests:
            if request.capture is not None:
                self._requests.remove(request)
                return request
        return None

    def _take_turn(self) -> InferenceRequest | None:
        # One turn for each query, all for the same image.
        if not self._turns and (capture := self._take_image()) is not None:
            for query in self._queries:
                if query.covers(capture.camera):
                    self._turns.append(
                        InferenceRequest(query.instruction, query.selection, capture.camera, capture, query)
                    )
        return self._turns.popleft() if self._turns else None

    def _take_image(self) -> CapturedImage | None:
        """Return the image of the camera that has waited longest for its turn, of those that are due."""
        now_s = time.monotonic()
        for camera in tuple(self._order):
            if camera not in self._newest or now_s < self._due_s[camera]:
                continue
            capture = self._newest.pop(camera)
            if self._drop_if_too_old(capture):
                continue
            self._consecutive_drops = 0
            # Round robin: this camera goes to the end.
            self._order.remove(camera)
            self._order.append(camera)
            # The period counts from when the image was due, so that the camera's jitter does not add up.
            period_s = 1.0 / self._options.max_rate_hz if self._options.max_rate_hz > 0 else 0.0
            due_s = self._due_s[camera] + period_s
            self._due_s[camera] = due_s if due_s > now_s else now_s + period_s
            return capture
        return None

    def _due_in_s(self) -> float | None:
        """Return the seconds until a waiting image is due; None if none waits."""
        due_s = [self._due_s[camera] for camera in self._newest]
        return max(min(due_s) - time.monotonic(), 0.0) if due_s else None

    def _is_needed(self, capture: CapturedImage) -> bool:
        return any(query.covers(capture.camera) for query in self._queries)

    def _drop_if_too_old(self, capture: CapturedImage) -> bool:
        """Return whether an image is older than the maximum age, and count it."""
        self._last_age_s = capture.age_s + time.monotonic() - capture.arrived_s
        is_too_old = 0 < self._options.max_age_s < self._last_age_s
        self.images_too_old += is_too_old
        self._consecutive_drops += is_too_old
        return is_too_old
