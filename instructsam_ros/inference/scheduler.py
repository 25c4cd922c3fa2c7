"""Chooses the next request for the model.

Images are replaced, never queued: only the newest image of each camera waits, see `WaitingImages`. Single requests go
before continuous queries, but after each of them one continuous query has its turn, so that many requests do not stop
the stream. Cameras take turns, and all continuous queries are processed for one image after another, so that it is
encoded once.
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
from instructsam_ros.inference.waiting_images import ImagePreference, WaitingImages

MAX_CONSECUTIVE_DROPS = 10
"""Number of images dropped in a row because of their age after which there is a warning."""
MIN_WAIT_S = 0.005
"""Time after which an image that single requests hold back is looked at again."""


class Scheduler:
    """Holds the newest image of each camera, the continuous queries and the single requests.

    All methods may be called from any thread.

    Args:
        cameras: their names.
        preference: which images of a camera to prefer; None for the newest.

    Attributes:
        images_replaced: number of images that a newer one replaced before the model had time for them.
        images_too_old: number of images that were dropped because of their age.
    """

    def __init__(self, cameras: Sequence[str] = ('',), preference: ImagePreference | None = None) -> None:
        self._changed = threading.Condition()
        self._deadlines = Deadlines()
        self._requests: deque[InferenceRequest] = deque()
        self._turns: deque[InferenceRequest] = deque()
        self._after_request = False
        self._queries: tuple[ContinuousQuery, ...] = ()
        self._options = StreamOptions()
        self._waiting = {camera: WaitingImages(preference) for camera in cameras}
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
            is_streamed = self._is_needed(capture.camera)
            if is_streamed or self._is_requested(capture.camera):
                self.images_replaced += self._waiting[capture.camera].add(capture) * is_streamed
                self._give_to_requests(capture.camera)
            self._changed.notify_all()

    def set_queries(self, queries: Sequence[ContinuousQuery]) -> None:
        """Replace the continuous queries; an empty sequence means idle."""
        with self._changed:
            self._queries = tuple(queries)
            # Remaining turns of the current image stay, unless their query was removed.
            self._turns = deque(turn for turn in self._turns if turn.query in self._queries)
            self._clear_unneeded()
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
        request = InferenceRequest(instruction, selection, camera, capture, prompt=prompt, timeout_s=timeout_s)
        # Weakly: otherwise images of finished requests would stay in memory until the deadline.
        self._deadlines.add(request.deadline_s, partial(self._expire, weakref.ref(request), timeout_s))
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        return request

    def clear(self, error: Exception) -> None:
        """Drop the waiting images and fail the waiting requests."""
        with self._changed:
            failed, self._requests = self._requests, deque()
            self._turns.clear()
            for waiting in self._waiting.values():
                waiting.clear()
        # Outside of the lock, because callbacks of the future run here.
        for request in failed:
            request.fail(error)

    def put_back(self, capture: CapturedImage) -> None:
        """Process all queries for an image again, unless a newer one of its camera arrives first."""
        with self._changed:
            self._turns = deque(turn for turn in self._turns if turn.capture is not capture)
            if self._is_needed(capture.camera):
                self.images_replaced += self._waiting[capture.camera].put_back(capture)
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

    def _give_to_requests(self, camera: str) -> None:
        """Give an image to the single requests that wait for one of this camera."""
        for request in self._requests:
            if request.capture is None and request.camera == camera:
                # The same one for all if possible, so that it is encoded once.
                request.capture = self._waiting[camera].choose(request.submitted_s)
        if not self._is_needed(camera) and not self._is_requested(camera):
            self._waiting[camera].clear()

    def _is_requested(self, camera: str) -> bool:
        return any(request.capture is None and request.camera == camera for request in self._requests)

    def _clear_unneeded(self) -> None:
        for camera, waiting in self._waiting.items():
            if not self._is_needed(camera) and not self._is_requested(camera):
                waiting.clear()

    def _take_single(self) -> InferenceRequest | None:
        for camera in {request.camera for request in self._requests if request.capture is None}:
            self._give_to_requests(camera)
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
            waiting = self._waiting[camera]
            if not self._is_needed(camera) or now_s < self._due_s[camera] or (capture := waiting.choose()) is None:
                continue
            self.images_replaced += waiting.take(capture)
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
        now_s = time.monotonic()
        # An arrival of depth wakes this thread up earlier.
        due_in_s = [
            max(self._due_s[camera] - now_s, waiting.hold_s(), MIN_WAIT_S)
            for camera, waiting in self._waiting.items()
            if len(waiting)
        ]
        return min(due_in_s, default=None)

    def _is_needed(self, camera: str) -> bool:
        return any(query.covers(camera) for query in self._queries)

    def _drop_if_too_old(self, capture: CapturedImage) -> bool:
        """Return whether an image is older than the maximum age, and count it."""
        self._last_age_s = capture.age_s + time.monotonic() - capture.arrived_s
        is_too_old = 0 < self._options.max_age_s < self._last_age_s
        self.images_too_old += is_too_old
        self._consecutive_drops += is_too_old
        return is_too_old
