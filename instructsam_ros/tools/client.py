"""`SegmenterClient`: a node that configures the segmenter, calls its services and waits for its messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.task import Future

from instructsam_ros.tools.node_process import NodeProcess

T = TypeVar('T')

ASK_AGAIN_S = 2.0


class PeerError(RuntimeError):
    """The system did not do what was asked of it."""


class SegmenterClient:
    """Brings the segmenter up and waits for it, as long as all processes live.

    Args:
        name: of its node.
        timeout_s: how long an answer may take.
        segmenter: the process that answers.
        *others: processes that must live too.

    Attributes:
        node: for what else it shall say and hear.
        segmenter: the process that answers.
    """

    def __init__(self, name: str, timeout_s: float, segmenter: NodeProcess, *others: NodeProcess) -> None:
        self.segmenter = segmenter
        self._children = (segmenter, *others)
        self._timeout_s = timeout_s
        self.node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._change_state: Client[Any, Any] = self.node.create_client(ChangeState, 'segmenter/change_state')
        self._get_state: Client[Any, Any] = self.node.create_client(GetState, 'segmenter/get_state')

    def bring_up(self, timeout_s: float) -> None:
        """Load the weights and start listening.

        Raises:
            ChildError, PeerError: a process has ended, or the node refuses or takes longer than `timeout_s`.
        """
        # What must not be asked for twice comes later: once this is answered, the node knows this one's clients.
        self.call(self._get_state, GetState.Request(), 'the node to say its state', timeout_s, again=True)
        for name, transition in (
            ('configure', Transition.TRANSITION_CONFIGURE),
            ('activate', Transition.TRANSITION_ACTIVATE),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            if not self.call(self._change_state, request, f'the node to {name}', timeout_s).success:
                raise PeerError(f'the node could not {name}; the end of its log:\n{self.segmenter.tail()}')

    def set_parameters(self, client: Client[Any, Any], name: str, **values: float | str) -> None:
        """Set parameters of a node, all or none.

        Args:
            client: of its service `set_parameters_atomically`.
            name: what to call it.
            **values: by parameter.

        Raises:
            ChildError, PeerError: a process has ended, or the node refuses.
        """
        request = SetParametersAtomically.Request()
        request.parameters = [Parameter(key, value=value).to_parameter_msg() for key, value in values.items()]
        wanted = ', '.join(f'{key} {value}' for key, value in values.items())
        response = self.call(client, request, f'{name} to take {wanted}', again=True)
        if not response.result.successful:
            raise PeerError(f'{name} refuses {wanted}: {response.result.reason}')

    def call(
        self, client: Client[Any, Any], request: Any, what: str, timeout_s: float | None = None, *, again: bool = False
    ) -> Any:
        """Call a service, once it is there, and wait for its response.

        A client sees a service before the service sees the client, and what is answered in between is lost: "failed to
        send response (timeout): client will not receive response" (rmw_fastrtps).

        Args:
            client: of the service.
            request: to it.
            what: is waited for.
            timeout_s: how long that may take; as long as an answer if not given.
            again: repeat the request every `ASK_AGAIN_S` until there is a response; for what may be asked twice.

        Raises:
            ChildError, PeerError: a process has ended, or there is no response in time.
        """
        started_s = time.monotonic()
        self._wait_for(lambda: client.service_is_ready() or None, what, timeout_s, started_s)
        futures: list[Future[Any]] = [client.call_async(request)]
        asked_s = time.monotonic()

        def response() -> Any:
            if again and time.monotonic() > asked_s + ASK_AGAIN_S * len(futures):
                futures.append(client.call_async(request))
            return next((future.result() for future in futures if future.done()), None)

        try:
            return self._wait_for(response, what, timeout_s, started_s)
        finally:
            for future in futures:
                client.remove_pending_request(future)

    def wait_for(self, result: Callable[[], T | None], what: str) -> T:
        """Spin until there is a result, as long as an answer may take.

        Raises:
            ChildError, PeerError: a process has ended, or there is none in time.
        """
        return self._wait_for(result, what, None, time.monotonic())

    def close(self) -> None:
        """Leave the graph."""
        self.node.destroy_node()
        self._executor.shutdown()

    def _wait_for(self, result: Callable[[], T | None], what: str, timeout_s: float | None, started_s: float) -> T:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        while (value := result()) is None:
            for child in self._children:
                child.check()
            if time.monotonic() - started_s > timeout_s:
                log = self.segmenter.tail()
                raise PeerError(f'waited {timeout_s:g} s for {what}; the end of the log of the node:\n{log}')
            self._executor.spin_once(timeout_sec=0.1)
        return value
