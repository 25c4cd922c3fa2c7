"""`TrackAction`: the action `~/track`, which processes one instruction for every image while a goal is active."""

from __future__ import annotations

import time
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.timer import Timer

from instructsam_model import CanceledError, RequestError
from instructsam_model.progress import Progress
from instructsam_ros.action import Track
from instructsam_ros.distribution import make_steady_clock
from instructsam_ros.inference.error_codes import ErrorCode, RequestTimeoutError, error_code, error_message
from instructsam_ros.inference.requests import InferenceRequest, InferenceResult
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.client_requests import ClientRequests
from instructsam_ros.node.request_limits import FEEDBACK_QOS, REQUEST_QOS
from instructsam_ros.node.result_message import make_progress_message, make_timed_result_message
from instructsam_ros.node.segment_service import awaitable

CHECK_PERIOD_S = 0.1
"""Period of the check whether a goal is canceled or its target is lost."""


class Goal:
    """An active goal.

    Args:
        handle: of rclpy.

    Attributes:
        ended: set once, with the reason why the goal ends.
        last: the last result with an instance.
    """

    def __init__(self, handle: ServerGoalHandle[Any, Any, Any]) -> None:
        lost_after = handle.request.lost_after
        self._handle = handle
        self._lost_after_s = lost_after.sec + lost_after.nanosec / 1e9
        self._last_seen_s = time.monotonic()
        self.ended: ThreadFuture[Exception] = ThreadFuture()
        self.last = Segmentation()

    def publish(self, result: InferenceResult) -> float:
        """Publish a result as feedback; called in the worker's thread. Returns its latency in seconds."""
        message = make_timed_result_message(result)
        if self.ended.done():
            return message.latency
        # An empty result is feedback too, but does not postpone `lost_after`.
        if message.instances:
            self._last_seen_s, self.last = time.monotonic(), message
        self._handle.publish_feedback(Track.Feedback(segmentation=message))
        return message.latency

    def publish_progress(self, request: InferenceRequest, progress: Progress) -> None:
        """Publish what the model is doing as feedback; called in the thread of the results."""
        if self.ended.done() or request.is_canceled():
            return
        self._handle.publish_feedback(
            Track.Feedback(
                segmentation=make_progress_message(request, progress),
                round=progress.round,
                tool=progress.tool,
                phrase=progress.phrase,
            )
        )

    def check(self) -> None:
        """End the goal if it is canceled or its target is lost."""
        if self._handle.is_cancel_requested:
            self.end(CanceledError('canceled'))
        elif 0 < self._lost_after_s < time.monotonic() - self._last_seen_s:
            self.end(RequestTimeoutError(f'no instance found for {self._lost_after_s:g} s'))

    def end(self, reason: Exception) -> None:
        """End the goal, unless it has ended already."""
        with suppress(InvalidStateError):
            self.ended.set_result(reason)

    def finish(self) -> Track.Result:
        """Set the final state of the goal, and return its result."""
        reason = self.ended.result()
        # A cancel request that arrives together with another reason is granted too.
        is_canceled = self._handle.is_cancel_requested
        (self._handle.canceled if is_canceled else self._handle.abort)()
        return Track.Result(
            success=is_canceled,
            error_code=int(ErrorCode.OK if is_canceled else error_code(reason)),
            message=error_message(reason),
            segmentation=self.last,
        )


class TrackAction:
    """The action; it exists as long as the node, so that a client of an inactive node gets an error at once.

    A goal that cannot be processed is accepted and aborted at once, because a rejection has no message.

    Args:
        node: provides the action.
        requests: checks goals and starts to process them.
    """

    def __init__(self, node: LifecycleNode, requests: ClientRequests) -> None:
        self._node = node
        self._requests = requests
        self._goals: list[Goal] = []
        self._timer: Timer | None = None
        self._clock = make_steady_clock()
        # A callback that awaits blocks a mutually exclusive group.
        self._server = ActionServer(
            node, Track, '~/track', self._execute,
            cancel_callback=lambda _: CancelResponse.ACCEPT, callback_group=ReentrantCallbackGroup(),
            goal_service_qos_profile=REQUEST_QOS, result_service_qos_profile=REQUEST_QOS,
            cancel_service_qos_profile=REQUEST_QOS, feedback_pub_qos_profile=FEEDBACK_QOS,
        )  # fmt: skip

    def end_all(self, reason: str) -> None:
        """Abort every goal."""
        for goal in tuple(self._goals):
            goal.end(CanceledError(reason))

    def destroy(self) -> None:
        """Stop serving."""
        self._server.destroy()

    async def _execute(self, handle: ServerGoalHandle[Any, Any, Any]) -> Track.Result:
        goal = Goal(handle)
        try:
            query = self._requests.start(handle.request, goal)
        except RequestError as error:
            handle.abort()
            return Track.Result(error_code=int(error_code(error)), message=error_message(error))
        self._add(goal)
        executor = self._node.executor
        assert executor is not None  # it runs this coroutine
        try:
            await awaitable(goal.ended, executor)
        finally:
            self._remove(goal)
            self._requests.stop(query)
        return goal.finish()

    def _add(self, goal: Goal) -> None:
        self._goals.append(goal)
        if self._timer is None:  # a steady clock, because simulated time may not advance
            self._timer = self._node.create_timer(CHECK_PERIOD_S, self._check, clock=self._clock)

    def _remove(self, goal: Goal) -> None:
        self._goals.remove(goal)
        if not self._goals and self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _check(self) -> None:
        for goal in tuple(self._goals):
            goal.check()
