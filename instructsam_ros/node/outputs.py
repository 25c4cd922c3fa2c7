"""What the node publishes about an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from instructsam_model.draw import overlay
from instructsam_ros.messages import detections
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.markers import make_markers
from instructsam_ros.messages.point_cloud2 import make_scene_cloud, make_target_cloud
from instructsam_ros.messages.segmentation import label_pixels, make_label_image, make_segmentation, make_target_mask
from instructsam_ros.msg import Segmentation

if TYPE_CHECKING:
    from std_msgs.msg import Header

    from instructsam_ros.inference.requests import InferenceResult


class Publishers:
    """The outputs of one node: the whole answer always, pictures and points of it only while somebody subscribes.

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
        self._points = _publisher(node, PointCloud2, f'{base}/points')
        self._target_points = _publisher(node, PointCloud2, f'{base}/target/points')
        self._target_pose = _publisher(node, PoseStamped, f'{base}/target/pose')
        self._markers = _publisher(node, MarkerArray, f'{base}/markers')
        self._detections: tuple[LifecyclePublisher[Any], LifecyclePublisher[Any]] | None = None
        if detections.is_available():
            from vision_msgs.msg import Detection2DArray, Detection3DArray

            self._detections = (
                _publisher(node, Detection2DArray, f'{base}/detections'),
                _publisher(node, Detection3DArray, f'{base}/detections_3d'),
            )

    @property
    def wants_scene(self) -> bool:
        """Whether somebody wants depth of an image even where there is no instance in it."""
        return _is_wanted(self._points)

    def publish(self, answer: InferenceResult) -> float:
        """Publish an answer whose picture could be decoded.

        Returns:
            The seconds from the arrival of the picture to its publication.
        """
        assert answer.capture is not None
        header = answer.capture.message.header
        message = make_answer(answer, header)
        message.latency = latency_s = time.monotonic() - answer.capture.arrived_s
        self._segmentation.publish(message)
        self._publish_pictures(answer, header)
        self._publish_points(answer, header)
        self._publish_boxes(answer, header)
        return latency_s

    def _publish_pictures(self, answer: InferenceResult, header: Header) -> None:
        if (segmentation := answer.segmentation) is None or (frame := answer.frame) is None:
            return
        _publish_if_wanted(self._labels, lambda: make_label_image(segmentation, header))
        _publish_if_wanted(self._target, lambda: make_target_mask(segmentation, header))
        _publish_if_wanted(self._overlay, lambda: make_image(overlay(frame.image_rgb, segmentation), 'rgb8', header))

    def _publish_points(self, answer: InferenceResult, header: Header) -> None:
        if (segmentation := answer.segmentation) is None or (frame := answer.frame) is None:
            return
        _publish_if_wanted(self._target_points, lambda: make_target_cloud(answer.target, frame.image_rgb, header))
        if (measurement := answer.measurement) is not None:
            _publish_if_wanted(
                self._points,
                lambda: make_scene_cloud(measurement, frame.image_rgb, label_pixels(segmentation), header),
            )

    def _publish_boxes(self, answer: InferenceResult, header: Header) -> None:
        if (segmentation := answer.segmentation) is None:
            return
        measurement = answer.measurement
        if measurement is not None and measurement.boxes and (box := measurement.boxes[0]) is not None:
            _publish_if_wanted(self._target_pose, lambda: PoseStamped(header=header, pose=box.make_pose()))
        _publish_if_wanted(self._markers, lambda: make_markers(segmentation, measurement, header))
        if self._detections is not None:
            flat, solid = self._detections
            _publish_if_wanted(flat, lambda: detections.make_detections(segmentation, header))
            _publish_if_wanted(solid, lambda: detections.make_detections_3d(segmentation, measurement, header))


def make_answer(answer: InferenceResult, header: Header) -> Segmentation:
    """The message of an answer; its status is FAILED when there is none."""
    if answer.segmentation is not None:
        message = make_segmentation(answer.segmentation, header)
        boxes = answer.measurement.boxes if answer.measurement is not None else ()
        for instance, box in zip(message.instances, boxes, strict=False):
            if box is not None:
                instance.pose, instance.size = box.make_pose(), box.make_size()
        return message
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


def _is_wanted(publisher: LifecyclePublisher[Any]) -> bool:
    return bool(publisher.is_activated and publisher.get_subscription_count() > 0)


def _publish_if_wanted(publisher: LifecyclePublisher[Any], make: Callable[[], Any]) -> None:
    if _is_wanted(publisher):
        publisher.publish(make())
