"""What the node publishes about an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from instructsam_model.draw import overlay
from instructsam_ros import convert
from instructsam_ros.msg import Segmentation

if TYPE_CHECKING:
    from std_msgs.msg import Header

    from instructsam_ros.jobs import Answer


class Publishers:
    """The outputs of one node: the whole answer always, pictures of it only while somebody subscribes.

    Every header is that of the source image, bit for bit, so that consumers can match by stamp.

    Args:
        node: the node that publishes.
        camera: name of the camera; the topics of one that has none are right below the node.
    """

    def __init__(self, node: LifecycleNode, camera: str = '') -> None:
        base = f'~/{camera}' if camera else '~'
        self._segmentation = _publisher(node, Segmentation, f'{base}/segmentation', depth=5)
        self._labels = _publisher(node, Image, f'{base}/labels')
        self._target = _publisher(node, Image, f'{base}/target/mask')
        self._overlay = _publisher(node, Image, f'{base}/overlay')

    def publish(self, answer: Answer) -> float:
        """Publish an answer whose picture could be decoded.

        Returns:
            The seconds from the arrival of the picture to its publication.
        """
        assert answer.capture is not None
        header = answer.capture.message.header
        message = make_answer(answer, header)
        message.latency = latency_s = time.monotonic() - answer.capture.arrived_s
        self._segmentation.publish(message)
        if answer.segmentation is not None and answer.frame is not None:
            image_rgb, segmentation = answer.frame.image_rgb, answer.segmentation
            _publish_if_wanted(self._labels, lambda: convert.make_labels(segmentation, header))
            _publish_if_wanted(self._target, lambda: convert.make_target(segmentation, header))
            _publish_if_wanted(
                self._overlay, lambda: convert.make_image(overlay(image_rgb, segmentation), 'rgb8', header)
            )
        return latency_s


def make_answer(answer: Answer, header: Header) -> Segmentation:
    """The message of an answer; its status is FAILED when there is none."""
    if answer.segmentation is not None:
        return convert.make_segmentation(answer.segmentation, header)
    width, height = answer.frame.size_wh if answer.frame is not None else (0, 0)
    return Segmentation(
        header=header,
        instruction=answer.instruction.text,
        request_id=answer.instruction.id,
        status=Segmentation.FAILED,
        message=answer.error,
        height=height,
        width=width,
    )


def _publisher(node: LifecycleNode, message_type: type[Any], topic: str, depth: int = 1) -> LifecyclePublisher[Any]:
    qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
    options = QoSOverridingOptions.with_default_policies()
    return node.create_lifecycle_publisher(message_type, topic, qos, qos_overriding_options=options)


def _publish_if_wanted(publisher: LifecyclePublisher[Any], make: Callable[[], Any]) -> None:
    if publisher.is_activated and publisher.get_subscription_count() > 0:
        publisher.publish(make())
