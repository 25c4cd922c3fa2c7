"""A task planner: brings the node up, shows it things, gives instructions and waits for the answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from instructsam_ros import convert
from instructsam_ros.msg import Segmentation
from instructsam_ros.processes import Child

T = TypeVar('T')


class PlannerError(RuntimeError):
    """The system did not do what was asked of it."""


class Planner:
    """Does what a task planner does: brings the node up, gives it instructions, waits for answers.

    Args:
        camera_name: of the camera's node, whose parameters say what it shows.
        camera: its process.
        segmenter: the process that answers.
        timeout_s: how long an answer may take.

    Attributes:
        node: of the planner, for what else it shall listen to.
        segmenter: the process that answers.
    """

    def __init__(self, camera_name: str, camera: Child, segmenter: Child, timeout_s: float) -> None:
        self.segmenter = segmenter
        self._children = (segmenter, camera)
        self._timeout_s = timeout_s
        self.node = rclpy.create_node('planner')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._answers: list[Segmentation] = []
        self.node.create_subscription(Segmentation, 'segmenter/segmentation', self._answers.append, 5)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self.node.create_publisher(String, 'segmenter/instruction', latched)
        self._set_camera: Client[Any, Any] = self.node.create_client(
            SetParametersAtomically, f'{camera_name}/set_parameters_atomically'
        )
        self._change_state: Client[Any, Any] = self.node.create_client(ChangeState, 'segmenter/change_state')

    def bring_up(self, timeout_s: float) -> None:
        """Load the weights and start listening.

        Raises:
            ChildError, PlannerError: a process has ended, or the node refuses or takes longer than `timeout_s`.
        """
        for name, transition in (
            ('configure', Transition.TRANSITION_CONFIGURE),
            ('activate', Transition.TRANSITION_ACTIVATE),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            if not self._call(self._change_state, request, f'the node to {name}', timeout_s).success:
                raise PlannerError(f'the node could not {name}; the end of its log:\n{self._children[0].tail()}')

    def show(self, parameter: str, value: int | str) -> None:
        """Let the camera show something else.

        Raises:
            ChildError, PlannerError: a process has ended, or the camera refuses.
        """
        request = SetParametersAtomically.Request()
        request.parameters = [Parameter(parameter, value=value).to_parameter_msg()]
        response = self._call(self._set_camera, request, f'the camera to change its {parameter}', self._timeout_s)
        if not response.result.successful:
            raise PlannerError(f'the camera refuses the {parameter} {value}: {response.result.reason}')

    def ask(self, text: str) -> Segmentation:
        """Give an instruction and wait for the answer about a picture that is taken after that.

        Raises:
            ChildError, PlannerError: a process has ended, or the answer fails or is late.
        """
        asked_ns = self.node.get_clock().now().nanoseconds
        self._answers.clear()
        self._instruction.publish(String(data=text))

        def answer() -> Segmentation | None:
            fits = (
                message
                for message in self._answers
                if message.instruction == text and convert.stamp_ns(message.header.stamp) > asked_ns
            )
            return next(fits, None)

        message = self.wait_for(answer, f"an answer to '{text}'")
        self._instruction.publish(String())  # idle, so that the next answer does not wait for another one to this
        if message.status == Segmentation.FAILED:
            raise PlannerError(f"the node could not answer '{text}': {message.message}")
        return message

    def wait_for(self, result: Callable[[], T | None], what: str) -> T:
        """Spin until there is a result, as long as an answer may take.

        Raises:
            ChildError, PlannerError: a process has ended, or there is none in time.
        """
        return self._wait_for(result, what, self._timeout_s)

    def close(self) -> None:
        """Leave the graph."""
        self.node.destroy_node()
        self._executor.shutdown()

    def _call(self, client: Client[Any, Any], request: Any, what: str, timeout_s: float) -> Any:
        started_s = time.monotonic()
        self._wait_for(lambda: client.service_is_ready() or None, what, timeout_s, started_s)
        future = client.call_async(request)
        return self._wait_for(future.result, what, timeout_s, started_s)

    def _wait_for(
        self, result: Callable[[], T | None], what: str, timeout_s: float, started_s: float | None = None
    ) -> T:
        started_s = time.monotonic() if started_s is None else started_s
        while (value := result()) is None:
            for child in self._children:
                child.check()
            if time.monotonic() - started_s > timeout_s:
                log = self._children[0].tail()
                raise PlannerError(f'waited {timeout_s:g} s for {what}; the end of the log of the node:\n{log}')
            self._executor.spin_once(timeout_sec=0.1)
        return value
