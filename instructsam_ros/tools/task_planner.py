"""A task planner: shows the node things, gives instructions and waits for the answers."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.client import Client
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools.client import PeerError, SegmenterClient
from instructsam_ros.tools.node_process import NodeProcess


class Planner(SegmenterClient):
    """Does what a task planner does: brings the node up, gives it instructions, waits for answers.

    Args:
        camera_name: of the camera's node, whose parameters say what it shows.
        camera: its process.
        segmenter: the process that answers.
        timeout_s: how long an answer may take.
    """

    def __init__(self, camera_name: str, camera: NodeProcess, segmenter: NodeProcess, timeout_s: float) -> None:
        super().__init__('planner', timeout_s, segmenter, camera)
        self._answers: list[Segmentation] = []
        self.node.create_subscription(Segmentation, 'segmenter/segmentation', self._answers.append, 5)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self.node.create_publisher(String, 'segmenter/instruction', latched)
        self._camera: Client[Any, Any] = self.node.create_client(
            SetParametersAtomically, f'{camera_name}/set_parameters_atomically'
        )

    def show(self, parameter: str, value: int | str) -> None:
        """Let the camera show something else.

        Raises:
            ChildError, PeerError: a process has ended, or the camera refuses.
        """
        self.set_parameters(self._camera, 'the camera', **{parameter: value})

    def ask(self, text: str) -> Segmentation:
        """Give an instruction and wait for the answer about a picture that is taken after that.

        Raises:
            ChildError, PeerError: a process has ended, or the answer fails or is late.
        """
        asked_ns = self.node.get_clock().now().nanoseconds
        self._answers.clear()
        self._instruction.publish(String(data=text))

        def answer() -> Segmentation | None:
            fits = (
                message
                for message in self._answers
                if message.instruction == text and read_stamp_ns(message.header.stamp) > asked_ns
            )
            return next(fits, None)

        message = self.wait_for(answer, f"an answer to '{text}'")
        self._instruction.publish(String())  # idle, so that the next answer does not wait for another one to this
        if message.status == Segmentation.FAILED:
            raise PeerError(f"the node could not answer '{text}': {message.message}")
        return message
