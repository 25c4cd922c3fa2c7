"""A task planner: brings the node up, shows scenes, gives instructions, waits for the answers and judges them."""

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
from instructsam_ros.judgement import Question, Result, judge
from instructsam_ros.moments import Moments
from instructsam_ros.msg import Segmentation
from instructsam_ros.processes import Child

T = TypeVar('T')


class PlannerError(RuntimeError):
    """The system did not do what was asked of it."""


class Planner:
    """Does what a task planner does: brings the node up, gives it instructions, waits for answers.

    Args:
        camera: the process that shows scenes.
        segmenter: the process that answers.
        timeout_s: how long an answer may take.
    """

    def __init__(self, camera: Child, segmenter: Child, timeout_s: float) -> None:
        self._children = (segmenter, camera)
        self._timeout_s = timeout_s
        self._node = rclpy.create_node('planner')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._moments = Moments(self._node)
        self._answers: list[Segmentation] = []
        self._node.create_subscription(Segmentation, 'segmenter/segmentation', self._answers.append, 5)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self._node.create_publisher(String, 'segmenter/instruction', latched)
        self._set_scene: Client[Any, Any] = self._node.create_client(
            SetParametersAtomically, 'sim_camera/set_parameters_atomically'
        )
        self._change_state: Client[Any, Any] = self._node.create_client(ChangeState, 'segmenter/change_state')

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

    def ask(self, question: Question) -> Result:
        """Begin the scene, give the instruction and wait for the answer about a picture that was taken after that.

        The scene moves on while the answer is awaited; it is compared with the truth at the stamp of its picture.

        Raises:
            ChildError, PlannerError: a process has ended, the scene is refused, or the answer fails or is late.
        """
        request = SetParametersAtomically.Request()
        request.parameters = [Parameter('seed', value=question.seed).to_parameter_msg()]
        response = self._call(self._set_scene, request, 'the camera to change its scene', self._timeout_s)
        if not response.result.successful:
            raise PlannerError(f'the camera refuses the scene: {response.result.reason}')
        shown_ns = self._node.get_clock().now().nanoseconds
        self._moments.clear()
        self._answers.clear()
        self._instruction.publish(String(data=question.text))

        def answer() -> Segmentation | None:
            fits = (
                message
                for message in self._answers
                if message.instruction == question.text and convert.stamp_ns(message.header.stamp) > shown_ns
            )
            return next(fits, None)

        message = self._wait_for(answer, f"an answer to '{question.text}'", self._timeout_s)
        self._instruction.publish(String())  # idle, so that the next answer does not wait for another one to this
        return self._judge(question, message)

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        self._executor.shutdown()

    def _judge(self, question: Question, message: Segmentation) -> Result:
        if message.status == Segmentation.FAILED:
            raise PlannerError(f"the node could not answer '{question.text}': {message.message}")
        stamp_ns = convert.stamp_ns(message.header.stamp)
        moment = self._wait_for(lambda: self._moments.at(stamp_ns), 'the truth about a picture', self._timeout_s)
        return judge(question, convert.read_segmentation(message), moment, message.latency)

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
