"""`CameraOutputs`: publishes the results of one camera, and withdraws them when they are out of date."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from instructsam_model import Segmentation as ModelSegmentation
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.output_options import OutputOptions
from instructsam_ros.node.outputs import OUTPUTS, Output
from instructsam_ros.node.result_content import Objects, ResultContent
from instructsam_ros.node.result_message import make_timed_result_message, make_withdrawal_message

if TYPE_CHECKING:
    from instructsam_ros.inference.requests import InferenceResult


class CameraOutputs:
    """Publishers of one camera; everything but ~/segmentation is lazy: made only if there are subscribers.

    Every stamp is that of the source image, bit for bit, so that subscribers can match by stamp; so are the frames,
    except those of poses and points with the parameter target_frame.

    All methods may be called from any thread: results and withdrawals are published one after another.

    Args:
        node: publishes.
        camera: name of the camera; without a name, the topics are right below the node.

    Attributes:
        options: may be replaced at any time.
    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        base = f'~/{camera}' if camera else '~'
        self._camera = camera
        self._context = node.context
        self._publishers: dict[Output, LifecyclePublisher[Any]] = {
            output: node.create_lifecycle_publisher(
                output.message_type,
                f'{base}/{output.name}',
                # Reliable publishers match best-effort subscribers too.
                QoSProfile(depth=output.depth, reliability=ReliabilityPolicy.RELIABLE),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in OUTPUTS
            if output.is_available
        }
        # Reentrant, as `withdraw_all` calls `withdraw`.
        self._lock = threading.RLock()
        self._is_open = True
        # By instruction: its last result, without instances, and the objects that it has now.
        self._last: dict[str, InferenceResult] = {}
        self._objects: dict[str, Objects] = {}
        # The instruction of the last message of each topic.
        self._shown: dict[Output, str] = {}
        self.options = OutputOptions()

    @property
    def needs_scene(self) -> bool:
        """Whether a topic with subscribers needs depth of the whole image."""
        return any(output.needs_scene and _has_subscribers(each) for output, each in self._publishers.items())

    def publish(self, result: InferenceResult, canceled: threading.Event) -> float | None:
        """Publish a result whose image could be decoded.

        Args:
            result: of a continuous query.
            canceled: of its query.

        Returns:
            The latency of ~/segmentation in seconds; None if the result is not published.
        """
        with self._lock:
            # Checked under the lock: an instruction is first canceled, then withdrawn.
            if not self._is_open or canceled.is_set():
                return None
            message = make_timed_result_message(result)
            self._publish_segmentation(message)
            empty = _without_instances(result)
            self._last[result.instruction.text] = empty
            if result.segmentation is None:
                self._clear(empty)  # where the objects are in this image is unknown
            else:
                self._publish_content(result, result.segmentation)
            return message.latency

    def withdraw(self, instruction: str, reason: str) -> None:
        """Withdraw the results of an instruction from all topics, once; nothing if there are none."""
        with self._lock:
            empty = self._last.pop(instruction, None)
            # Nothing can be published after a signal has ended the context.
            if empty is not None and self._context.ok():
                self._publish_segmentation(make_withdrawal_message(empty, reason))
                self._clear(empty)

    def withdraw_all(self, reason: str) -> None:
        """Withdraw the results of all instructions."""
        with self._lock:
            for instruction in tuple(self._last):
                self.withdraw(instruction, reason)

    def open(self) -> None:
        """Publish results from now on."""
        with self._lock:
            self._is_open = True

    def close(self, reason: str) -> None:
        """Withdraw all results, and publish none until `open`; before the node becomes inactive."""
        with self._lock:
            self.withdraw_all(reason)
            self._is_open = False

    def _publish_content(self, result: InferenceResult, segmentation: ModelSegmentation) -> None:
        instruction = segmentation.instruction.text
        content = self._content(result, segmentation)
        for output, publisher in self._publishers.items():
            if output.make is None or not _has_subscribers(publisher):
                continue
            # There is no message if the instances have no depth.
            if _publish(publisher, output.make(content)):
                self._shown[output] = instruction
        self._objects[instruction] = content.objects

    def _clear(self, empty: InferenceResult) -> None:
        """Remove the content of an instruction from the topics that show it."""
        assert empty.segmentation is not None
        instruction, content = empty.instruction.text, self._content(empty, empty.segmentation)
        for output, publisher in self._publishers.items():
            is_shown = bool(content.former) if output.is_shared else self._shown.get(output) == instruction
            make = output.clear or output.make
            if make is not None and is_shown and _has_subscribers(publisher):
                _publish(publisher, make(content))
        self._shown = {output: text for output, text in self._shown.items() if text != instruction}
        self._objects.pop(instruction, None)

    def _content(self, result: InferenceResult, segmentation: ModelSegmentation) -> ResultContent:
        instruction = segmentation.instruction.text
        others = (objects for text, objects in self._objects.items() if text != instruction)
        former = self._objects.get(instruction, ())
        return ResultContent(
            result, segmentation, self._camera, self.options, tuple(each for group in others for each in group), former
        )

    def _publish_segmentation(self, message: Segmentation) -> None:
        for output, publisher in self._publishers.items():
            if output.make is None and publisher.is_activated:
                publisher.publish(message)


def _without_instances(result: InferenceResult) -> InferenceResult:
    """Return a result of the same image that has no instances, no geometry and no error."""
    assert result.frame is not None
    height, width = result.frame.image_rgb.shape[:2]
    segmentation = ModelSegmentation((), result.instruction, '', (width, height))
    return replace(result, segmentation=segmentation, error=None, geometry=None, no_points=None, no_boxes=None)


def _has_subscribers(publisher: LifecyclePublisher[Any]) -> bool:
    return bool(publisher.is_activated and publisher.get_subscription_count() > 0)


def _publish(publisher: LifecyclePublisher[Any], made: Any) -> bool:
    """Publish a message or a list of messages; return whether there is one."""
    messages = made if isinstance(made, list) else [made] if made is not None else []
    for message in messages:
        publisher.publish(message)
    return bool(messages)
