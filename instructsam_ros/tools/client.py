"""`SegmenterClient`: a node that brings the segmenter up, gives it instructions, calls its services and waits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future
from std_msgs.msg import String

from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.request_limits import REQUEST_QOS
from instructsam_ros.srv import Segment
from instructsam_ros.tools.node_process import NodeProcess

T = TypeVar('T')

RETRY_PERIOD_S = 2.0


def create_segment_client(node: Node) -> Client[Any, Any]:
    """Create a client of ~/segment that may send hundreds of requests at once.

    With the default QoS, the queue of a client for its requests holds 10: if it sends more before the first ones have
    reached the node, they replace each other. So does its queue for responses, which are those to all clients.
    """
    return node.create_client(Segment, 'segmenter/segment', qos_profile=REQUEST_QOS)


class ClientError(RuntimeError):
    """A node refused a request, failed, or did not respond in time."""


class SegmenterClient:
    """A client of the segmenter node. While it waits it checks that the processes are running.

    Args:
        name: node name of the client.
        timeout_s: timeout of a request, a result or a message.
        segmenter: process of the segmenter node.
        *others: further processes that must keep running, such as that of the camera.

    Attributes:
        node: the node of the client, for further subscriptions, publishers and timers.
        segmenter: process of the segmenter node.
    """

    def __init__(self, name: str, timeout_s: float, segmenter: NodeProcess, *others: NodeProcess) -> None:
        self.segmenter = segmenter
        self._processes = (segmenter, *others)
        self._timeout_s = timeout_s
        self.node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._change_state: Client[Any, Any] = self.node.create_client(ChangeState, 'segmenter/change_state')
        self._get_state: Client[Any, Any] = self.node.create_client(GetState, 'segmenter/get_state')
        self._parameter_clients: dict[str, Client[Any, Any]] = {}
        self._results: list[Segmentation] = []
        self.node.create_subscription(Segmentation, 'segmenter/segmentation', self._results.append, 5)
        # Latched: a node that discovers this publisher late still gets the instruction.
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self.node.create_publisher(String, 'segmenter/instruction', latched)

    def bring_up(self, timeout_s: float) -> None:
        """Configure and activate the segmenter.

        Args:
            timeout_s: timeout of each transition; configuring loads the weights.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: the node refuses a transition, or does not respond in time.
        """
        # A transition must not be repeated, so first make sure that the node has discovered this client.
        self.call(self._get_state, GetState.Request(), 'the state of the node', timeout_s, retry=True)
        for name, transition in (
            ('configure', Transition.TRANSITION_CONFIGURE),
            ('activate', Transition.TRANSITION_ACTIVATE),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            if not self.call(self._change_state, request, f'the node to {name}', timeout_s).success:
                raise ClientError(f'the node could not {name}; the end of its log:\n{self.segmenter.tail()}')

    def set_parameters(self, node_name: str, **values: float | str | list[str]) -> None:
        """Set parameters of a node, either all of them or none.

        Args:
            node_name: name of the node.
            **values: new values by parameter name.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: the node refuses the values, or does not respond in time.
        """
        if node_name not in self._parameter_clients:
            service = f'{node_name}/set_parameters_atomically'
            self._parameter_clients[node_name] = self.node.create_client(SetParametersAtomically, service)
        request = SetParametersAtomically.Request()
        # Atomically, so that a refused value leaves the others unchanged.
        request.parameters = [Parameter(key, value=value).to_parameter_msg() for key, value in values.items()]
        assignments = ', '.join(f'{key}:={value}' for key, value in values.items())
        response = self.call(
            self._parameter_clients[node_name], request, f'{node_name} to set {assignments}', retry=True
        )
        if not response.result.successful:
            raise ClientError(f'{node_name} refuses {assignments}: {response.result.reason}')

    def ask(self, instruction: str) -> Segmentation:
        """Publish an instruction and wait for the result on an image that is taken after that.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: the segmenter failed, or there is no result in time.
        """
        published_ns = self.node.get_clock().now().nanoseconds
        self._results.clear()
        self._instruction.publish(String(data=instruction))

        def find_result() -> Segmentation | None:
            # Results on images from before the instruction may still refer to the scene before.
            matches = (
                message
                for message in self._results
                if message.instruction == instruction
                and message.status != Segmentation.WITHDRAWN
                and read_stamp_ns(message.header.stamp) > published_ns
            )
            return next(matches, None)

        result = self.wait_for(find_result, f"a result for '{instruction}'")
        # Without an instruction the node is idle and can start on the next one immediately.
        self._instruction.publish(String())
        if result.status == Segmentation.FAILED:
            raise ClientError(f"the node failed on '{instruction}': {result.message}")
        return result

    def call(
        self, client: Client[Any, Any], request: Any, what: str, timeout_s: float | None = None, *, retry: bool = False
    ) -> Any:
        """Wait for a service, call it and wait for the response.

        A client can discover a service before the service discovers the client; a response that is sent in between is
        lost: "failed to send response (timeout): client will not receive response" (rmw_fastrtps).

        Args:
            client: of the service.
            request: to it.
            what: name of the response, for the error message.
            timeout_s: timeout; the timeout of the client if None.
            retry: repeat the request every `RETRY_PERIOD_S` until there is a response; only for idempotent requests.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: there is no response in time.
        """
        started_s = time.monotonic()
        self._spin_until(lambda: client.service_is_ready() or None, what, timeout_s, started_s)
        futures: list[Future[Any]] = [client.call_async(request)]
        called_s = time.monotonic()

        def find_response() -> Any:
            if retry and time.monotonic() > called_s + RETRY_PERIOD_S * len(futures):
                futures.append(client.call_async(request))
            return next((future.result() for future in futures if future.done()), None)

        try:
            return self._spin_until(find_response, what, timeout_s, started_s)
        finally:
            # rclpy keeps requests without a response, as repeated ones are, until they are removed.
            for future in futures:
                client.remove_pending_request(future)

    def wait_for(self, get: Callable[[], T | None], what: str) -> T:
        """Spin until `get` returns something other than None, and return it.

        Raises:
            ProcessEndedError: a process has ended.
            ClientError: the timeout of the client is over.
        """
        return self._spin_until(get, what, None, time.monotonic())

    def spin_for(self, duration_s: float) -> None:
        """Spin for a duration, which may be longer than the timeout of the client.

        Raises:
            ProcessEndedError: a process has ended.
        """
        started_s = time.monotonic()
        end_s = started_s + duration_s
        self._spin_until(lambda: time.monotonic() >= end_s or None, 'time to pass', math.inf, started_s)

    def close(self) -> None:
        """Destroy the node of the client."""
        self.node.destroy_node()
        self._executor.shutdown()

    def _spin_until(self, get: Callable[[], T | None], what: str, timeout_s: float | None, started_s: float) -> T:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        while (value := get()) is None:
            for process in self._processes:
                process.check()
            if time.monotonic() - started_s > timeout_s:
                log = self.segmenter.tail()
                raise ClientError(f'waited {timeout_s:g} s for {what}; the end of the log of the node:\n{log}')
            self._executor.spin_once(timeout_sec=0.1)
        return value
