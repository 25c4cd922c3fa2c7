"""A task planner: brings the node up, shows pictures, gives instructions, waits for the answers and judges them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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

from instructsam_model import Segmentation
from instructsam_model.masks import Mask, mask_iou, merge_masks
from instructsam_ros import convert
from instructsam_ros.msg import Segmentation as SegmentationMessage
from instructsam_ros.processes import Child

T = TypeVar('T')


class PlannerError(RuntimeError):
    """The system did not do what was asked of it."""


@dataclass(frozen=True, eq=False)
class Question:
    """One instruction about one picture.

    Attributes:
        image: the file of the picture.
        text: the instruction.
        truth: bool (H, W), everything that answers it.
    """

    image: Path
    text: str
    truth: Mask


@dataclass(frozen=True, eq=False)
class Result:
    """What the system made of a question.

    Attributes:
        question: what was asked.
        segmentation: the answer.
        iou: of the union of the instances with the truth, 0..1; two empty masks agree.
        latency_s: from the arrival of the picture at the node to the publication of the answer.
    """

    question: Question
    segmentation: Segmentation
    iou: float
    latency_s: float


class Planner:
    """Does what a task planner does: brings the node up, gives it instructions, waits for answers.

    Args:
        camera: the process that shows pictures.
        segmenter: the process that answers.
        timeout_s: how long an answer may take.
    """

    def __init__(self, camera: Child, segmenter: Child, timeout_s: float) -> None:
        self._children = (segmenter, camera)
        self._timeout_s = timeout_s
        self._node = rclpy.create_node('planner')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._answers: list[SegmentationMessage] = []
        self._node.create_subscription(SegmentationMessage, 'segmenter/segmentation', self._answers.append, 5)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self._node.create_publisher(String, 'segmenter/instruction', latched)
        self._set_picture: Client[Any, Any] = self._node.create_client(
            SetParametersAtomically, 'image_player/set_parameters_atomically'
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
        """Show the picture, give the instruction and wait for the answer about a picture that was taken after that.

        Raises:
            ChildError, PlannerError: a process has ended, the picture is refused, or the answer fails or is late.
        """
        request = SetParametersAtomically.Request()
        request.parameters = [Parameter('path', value=str(question.image)).to_parameter_msg()]
        response = self._call(self._set_picture, request, 'the camera to change its picture', self._timeout_s)
        if not response.result.successful:
            raise PlannerError(f'the camera refuses the picture: {response.result.reason}')
        shown_ns = self._node.get_clock().now().nanoseconds
        self._instruction.publish(String(data=question.text))
        self._answers.clear()

        def answer() -> SegmentationMessage | None:
            fits = (
                message
                for message in self._answers
                if message.instruction == question.text and convert.stamp_ns(message.header.stamp) > shown_ns
            )
            return next(fits, None)

        return self._check(question, self._wait_for(answer, f"an answer to '{question.text}'", self._timeout_s))

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        self._executor.shutdown()

    def _check(self, question: Question, message: SegmentationMessage) -> Result:
        if message.status == SegmentationMessage.FAILED:
            raise PlannerError(f"the node could not answer '{question.text}': {message.message}")
        segmentation = convert.read_segmentation(message)
        found = merge_masks((instance.mask for instance in segmentation.instances), question.truth.shape)
        return Result(question, segmentation, mask_iou(found, question.truth), message.latency)

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
