"""The Segmentation message and the points of a result, for topics, replies and feedback."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.point_cloud2 import make_target_cloud
from instructsam_ros.messages.segmentation import make_segmentation
from instructsam_ros.msg import Segmentation

if TYPE_CHECKING:
    from instructsam_model import Segmentation as ModelSegmentation
    from instructsam_ros.inference.requests import InferenceResult


def make_result_message(result: InferenceResult) -> Segmentation:
    """Return the message of a result; its status is FAILED if there is an error."""
    header = result.capture.message.header if result.capture is not None else Header()
    if result.segmentation is None:
        # The size is known if the image was decoded before the failure.
        width, height = result.frame.size_wh if result.frame is not None else (0, 0)
        return Segmentation(
            header=header,
            instruction=result.instruction.text,
            request_id=result.instruction.id,
            status=Segmentation.FAILED,
            error_code=int(result.error_code),
            message=result.message,
            height=height,
            width=width,
        )
    message = make_segmentation(result.segmentation, header)
    # Instances without a box keep size 0.
    for instance, box in zip(message.instances, boxes_of(result, result.segmentation), strict=True):
        if box is not None:
            instance.pose, instance.size = box.make_pose(), box.make_size()
    return message


def make_timed_result_message(result: InferenceResult) -> Segmentation:
    """Return the message of a result with its latency."""
    message = make_result_message(result)
    message.latency = latency_s(result)
    return message


def make_target_points(result: InferenceResult, header: Header) -> PointCloud2:
    """Return the points of the best instance; an empty cloud without an instance or without depth."""
    if result.target is None or result.frame is None:
        return make_target_cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), header)
    return make_target_cloud(result.target.points_m, result.frame.image_rgb[result.target.pixels], header)


def latency_s(result: InferenceResult) -> float:
    """Return the seconds since the image arrived at the node; 0 without an image."""
    return time.monotonic() - result.capture.arrived_s if result.capture is not None else 0.0


def boxes_of(result: InferenceResult, segmentation: ModelSegmentation) -> Sequence[OrientedBox | None]:
    """Return the box of each instance; None where it is unknown."""
    return result.geometry.boxes if result.geometry is not None else (None,) * len(segmentation.instances)
