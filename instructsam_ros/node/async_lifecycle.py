"""`AsyncLifecycleNode`: a lifecycle node whose executor goes on while it is being configured."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node

from instructsam_ros.distribution import make_steady_clock
from instructsam_ros.node.segment_service import awaitable


class AsyncLifecycleNode(LifecycleNode):
    """Prepares `on_configure` in another thread, while its executor serves everything else.

    rclpy runs a transition inside one callback (`rclpy.lifecycle.LifecycleNodeMixin`), so that a slow one stops the
    whole node. Here `~/change_state` starts the transition `configure`, the state is `configuring` until the future of
    `prepare` is done, and only then `on_configure` is called and the client gets its reply. Until then only `shutdown`
    is accepted: it ends the transition `configure` with a failure. `trigger_configure` still blocks, because it
    returns the outcome.

    Args:
        name: of the node.
        enable_communication_interface: as `LifecycleNode`.
        **kwargs: as `Node`.
    """

    def __init__(self, name: str, *, enable_communication_interface: bool = True, **kwargs: Any) -> None:
        self._configured: ThreadFuture[None] | None = None
        # A callback that awaits blocks a mutually exclusive group. LifecycleNode does not pass a group on to its mixin.
        self.lifecycle_group = ReentrantCallbackGroup()
        Node.__init__(self, name, **kwargs)
        LifecycleNodeMixin.__init__(
            self,
            enable_communication_interface=enable_communication_interface,
            callback_group=self.lifecycle_group,
        )
        if enable_communication_interface:
            self._change_state: Callable[..., ChangeState.Response] = self._service_change_state.callback
            self._service_change_state.callback = self._serve_change_state
            self._list_transitions: Callable[..., GetAvailableTransitions.Response] = (
                self._service_get_available_transitions.callback
            )
            self._service_get_available_transitions.callback = self._serve_available_transitions

    @property
    def is_configuring(self) -> bool:
        """Whether the transition `configure` is in progress."""
        return self._configured is not None

    def prepare(self) -> ThreadFuture[None]:
        """Start in another thread what `on_configure` needs; it gets the exception of the future, if there is one."""
        raise NotImplementedError

    def start_automatically(self) -> None:
        """Configure and activate the node as soon as an executor spins it."""

        async def start() -> None:
            self.destroy_timer(timer)
            configure = Transition(id=Transition.TRANSITION_CONFIGURE)
            if self._is_possible(configure) and await self.configure() == TransitionCallbackReturn.SUCCESS:
                self.trigger_activate()

        # rclpy runs coroutines of timers too, but does not declare it. A steady clock: simulated time may not advance.
        callback: Any = start
        timer = self.create_timer(0.0, callback, callback_group=self.lifecycle_group, clock=make_steady_clock())

    async def configure(self) -> TransitionCallbackReturn:
        """Run the transition `configure`, which must be possible, without blocking the executor; return its outcome."""
        self._state_machine.trigger_transition_by_id(Transition.TRANSITION_CONFIGURE, True)
        ended: ThreadFuture[None] = ThreadFuture()
        self._configured = ended
        try:
            self.prepare().add_done_callback(lambda _: self._resume(ended))
        except Exception:  # the state must not stay `configuring`
            self.get_logger().error(traceback.format_exc())
            return self._end_configuring(lambda _: TransitionCallbackReturn.ERROR)
        executor = self.executor
        assert executor is not None  # it runs this coroutine
        await awaitable(ended, executor)
        if self._configured is not ended:  # it was aborted
            return TransitionCallbackReturn.FAILURE
        return self._end_configuring(self.on_configure)

    def abort_configuring(self) -> None:
        """End the transition `configure` in progress with a failure, at once."""
        if (ended := self._configured) is not None:
            self._end_configuring(lambda _: TransitionCallbackReturn.FAILURE)
            _finish(ended)

    def destroy_node(self) -> None:
        """Destroy the node; a client that waits for a reply gets none, because the service is gone."""
        self._configured = None
        super().destroy_node()

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """Run the transition `shutdown`, also while the node is being configured."""
        self.abort_configuring()
        return super().trigger_shutdown()

    def _resume(self, ended: ThreadFuture[None]) -> None:
        # After destroy_node, a reply would raise InvalidHandle in the executor.
        if self._configured is ended:
            _finish(ended)

    def _end_configuring(
        self, callback: Callable[[LifecycleState], TransitionCallbackReturn]
    ) -> TransitionCallbackReturn:
        """Call the callback of the transition and go to the state that it decides on, as rclpy does."""
        self._configured = None
        previous = LifecycleState(label='unconfigured', state_id=State.PRIMARY_STATE_UNCONFIGURED)
        outcome = self._call(callback, previous)
        self._state_machine.trigger_transition_by_label(outcome.to_label(), True)
        if outcome == TransitionCallbackReturn.ERROR:
            recovery = self._call(self.on_error, previous)
            self._state_machine.trigger_transition_by_label(recovery.to_label(), True)
        return outcome

    def _call(
        self, callback: Callable[[LifecycleState], TransitionCallbackReturn], previous: LifecycleState
    ) -> TransitionCallbackReturn:
        try:
            return callback(previous)
        except Exception:
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR

    async def _serve_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        transition = request.transition
        if self.is_configuring:
            # rcl would also accept the transitions that end `configuring`, which no client may trigger.
            if not _is(transition, 'shutdown', Transition.TRANSITION_UNCONFIGURED_SHUTDOWN):
                self.get_logger().warning(
                    f"transition '{transition.label or transition.id}' refused: the node is being configured; wait for "
                    f'the reply to that transition, or shut the node down'
                )
                response.success = False
                return response
            self.abort_configuring()
        if not self._is_possible(transition):
            state = self._state_machine.current_state[1]
            self.get_logger().warning(
                f"transition '{transition.label or transition.id}' refused: not possible in the state {state}"
            )
            response.success = False
            return response
        if _is(transition, 'configure', Transition.TRANSITION_CONFIGURE):
            response.success = await self.configure() == TransitionCallbackReturn.SUCCESS
            return response
        return self._change_state(request, response)

    def _serve_available_transitions(
        self, request: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
    ) -> GetAvailableTransitions.Response:
        if not self.is_configuring:
            return self._list_transitions(request, response)
        # rcl lists those that end `configuring`; `ros2 lifecycle set` offers only what is listed.
        response.available_transitions = [
            TransitionDescription(
                transition=Transition(id=Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, label='shutdown'),
                start_state=State(id=State.TRANSITION_STATE_CONFIGURING, label='configuring'),
                goal_state=State(id=State.PRIMARY_STATE_FINALIZED, label='finalized'),
            )
        ]
        return response

    def _is_possible(self, transition: Transition) -> bool:
        # On Humble, an impossible transition ends the process (ros2/rclpy#1209).
        possible = self._state_machine.available_transitions
        return any(_is(transition, label, id_) for id_, label, *_ in possible)


def _finish(future: ThreadFuture[None]) -> None:
    with suppress(InvalidStateError):
        future.set_result(None)


def _is(transition: Transition, label: str, id_: int) -> bool:
    """Return whether a request names a transition; the label counts if there is one (lifecycle_msgs/ChangeState)."""
    return bool(transition.label == label if transition.label else transition.id == id_)
