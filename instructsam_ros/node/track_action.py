"""The action `~/track`: one instruction answered about every picture while a goal is active."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode

from instructsam_model import ConfigError
from instructsam_ros.action import Track
from instructsam_ros.inference.pipeline import Answers
from instructsam_ros.inference.requests import ContinuousQuery, InferenceResult
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.outputs import make_answer
from instructsam_ros.node.segment_service import awaitable

WATCH_PERIOD_S = 0.1
"""So often is looked whether a goal was cancelled or its target is lost."""


@dataclass(frozen=True)
class Outcome:
    """How a goal ended.

    Attributes:
        message: why.
        is_cancelled: because its client asked for it.
    """

    message: str
    is_cancelled: bool = False


class Goal:
    """A goal that is active.

    Args:
        handle: of rclpy.
        answers: gives ids and logs.

    Attributes:
        ended: set once, when it shall end.
        last: the last answer that had an instance.
    """

    def __init__(self, handle: ServerGoalHandle[Any, Any, Any], answers: Answers) -> None:
        lost_after = handle.request.lost_after
        self._handle = handle
        self._answers = answers
        self._tracker = answers.make_tracker()
        self._lost_after_s = lost_after.sec + lost_after.nanosec / 1e9
        self._seen_s = time.monotonic()
        self.ended: ThreadFuture[Outcome] = ThreadFuture()
        self.last = Segmentation()

    def deliver(self, answer: InferenceResult) -> None:
        """Give feedback; runs in the worker's thread."""
        assert answer.capture is not None
        try:
            self._answers.note(answer)
            if self.ended.done() or (answer.frame is None and answer.cause):
                return
            message = make_answer(self._answers.identify(answer, self._tracker), answer.capture.message.header)
            message.latency = time.monotonic() - answer.capture.arrived_s
            if message.instances:
                self._seen_s, self.last = time.monotonic(), message
            self._handle.publish_feedback(Track.Feedback(segmentation=message))
        except Exception:
            self._answers.survive()

    def watch(self) -> None:
        """See whether it shall end."""
        if self._handle.is_cancel_requested:
            self.end(Outcome('cancelled', is_cancelled=True))
        elif 0 < self._lost_after_s < time.monotonic() - self._seen_s:
            self.end(Outcome(f'nothing has answered for {self._lost_after_s:g} s'))

    def end(self, outcome: Outcome) -> None:
        """Let it end, unless it has already."""
        with suppress(InvalidStateError):
            self.ended.set_result(outcome)


class TrackAction:
    """Serves as long as the node exists, so that a client is told when the node is not active.

    A goal that cannot be followed is accepted and aborted at once: a rejection could not say why.

    Args:
        node: the node that serves.
        answers: gives ids and logs.
        follow: asks a question on behalf of a goal; raises ConfigError when that cannot be done.
        unfollow: asks it no more.
    """

    def __init__(
        self,
        node: LifecycleNode,
        answers: Answers,
        follow: Callable[[Track.Goal, Callable[[InferenceResult], None]], ContinuousQuery],
        unfollow: Callable[[ContinuousQuery], None],
    ) -> None:
        self._node = node
        self._answers = answers
        self._follow = follow
        self._unfollow = unfollow
        self._goals: list[Goal] = []
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        # While it awaits, a callback keeps a mutually exclusive group to itself.
        self._server = ActionServer(
            node, Track, '~/track', self._execute,
            cancel_callback=lambda _: CancelResponse.ACCEPT, callback_group=ReentrantCallbackGroup(),
        )  # fmt: skip

    def end_all(self, reason: str) -> None:
        """Abort every goal."""
        for goal in tuple(self._goals):
            goal.end(Outcome(reason))

    def destroy(self) -> None:
        """Stop serving."""
        self._server.destroy()

    async def _execute(self, handle: ServerGoalHandle[Any, Any, Any]) -> Track.Result:
        goal = Goal(handle, self._answers)
        try:
            question = self._follow(handle.request, goal.deliver)
        except ConfigError as error:
            handle.abort()
            return Track.Result(message=str(error))
        watch = self._node.create_timer(WATCH_PERIOD_S, goal.watch, clock=self._clock)
        self._goals.append(goal)
        executor = self._node.executor
        assert executor is not None  # it is what runs this
        try:
            await awaitable(goal.ended, executor)
        finally:
            self._node.destroy_timer(watch)
            self._goals.remove(goal)
            self._unfollow(question)
        outcome = goal.ended.result()
        (handle.canceled if outcome.is_cancelled else handle.abort)()
        return Track.Result(success=outcome.is_cancelled, message=outcome.message, segmentation=goal.last)
