"""The Segmentation message and the points of a result, for topics, replies and feedback."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.point_cloud2 import make_target_cloud
from instructsam_ros.messages.segmentation import make_segmentation
from instructsam_ros.msg import Segmentation

if TYPE_CHECKING:
    from instructsam_model import Segmentation as ModelSegmentation
    from instructsam_model.progress import Progress
    from instructsam_ros.inference.requests import InferenceRequest, InferenceResult


def make_result_message(result: InferenceResult) -> Segmentation:
    """Return the message of a result; its status is FAILED if there is an error."""
    message = _make_message(result)
    message.checkpoint = result.checkpoint
    return message


def _make_message(result: InferenceResult) -> Segmentation:
    header = result.capture.message.header if result.capture is not None else Header()
    if result.segmentation is None:
        # The size is known if the image was decoded before the failure.
        width, height = result.frame.size_wh if result.frame is not None else (0, 0)
        return Segmentation(
            header=header,
            instruction=result.instruction.text,
            request_id=result.instruction.id,
            status=Segmentation.FAILED,
            geometry_frame_id=geometry_header(result, header).frame_id,
            error_code=int(result.error_code),
            message=result.message,
            height=height,
            width=width,
        )
    message = make_segmentation(result.segmentation, header)
    message.geometry_frame_id = geometry_header(result, header).frame_id
    # Instances without a box keep size 0.
    for instance, box in zip(message.instances, boxes_of(result, result.segmentation), strict=True):
        if box is not None:
            instance.pose, instance.size = box.make_pose(), box.make_size()
    if result.geometry is not None:
        for instance, share in zip(message.instances, result.geometry.completeness, strict=True):
            instance.completeness = share
    _set_missing_outputs(message, result)
    return message


def _set_missing_outputs(message: Segmentation, result: InferenceResult) -> None:
    """Say why there are no points or boxes."""
    message.points_error_code = int(result.no_points.code if result.no_points is not None else ErrorCode.OK)
    message.boxes_error_code = int(result.no_boxes.code if result.no_boxes is not None else ErrorCode.OK)
    message.depth_message = make_depth_message(result)


def make_depth_message(result: InferenceResult) -> str:
    """Return why promised points or boxes are missing; empty if there are, or if there is no depth to make them of."""
    missing = [each for each in (result.no_points, result.no_boxes) if each is not None]
    is_promised = any(each.code != ErrorCode.DEPTH_DISABLED for each in missing)
    return '; '.join(dict.fromkeys(each.message for each in missing)) if is_promised else ''


def make_timed_result_message(result: InferenceResult) -> Segmentation:
    """Return the message of a result with its latency."""
    message = make_result_message(result)
    message.latency = latency_s(result)
    return message


def make_progress_message(request: InferenceRequest, progress: Progress) -> Segmentation:
    """Return the message that says what the model is doing for a request, whose image is decoded."""
    assert request.capture is not None
    frame = request.capture.frame
    assert frame is not None
    width, height = frame.size_wh
    return Segmentation(
        header=request.capture.message.header,
        instruction=request.instruction.text,
        request_id=request.instruction.id,
        status=Segmentation.IN_PROGRESS,
        message=str(progress),
        height=height,
        width=width,
        latency=time.monotonic() - request.capture.arrived_s,
    )


def make_withdrawal_message(result: InferenceResult, reason: str) -> Segmentation:
    """Return the message that withdraws the results of an instruction.

    Args:
        result: the last one, without its instances.
        reason: why they are out of date.
    """
    message = make_result_message(result)
    message.status, message.message = Segmentation.WITHDRAWN, reason
    return message


def make_target_points(result: InferenceResult, header: Header) -> PointCloud2:
    """Return the points of the best instance; an empty cloud without an instance or without depth.

    Args:
        result: of the image.
        header: of the image; that of the cloud has the frame of the outputs.
    """
    header = geometry_header(result, header)
    if result.target is None or result.frame is None or result.geometry is None:
        return make_target_cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), header)
    points_m = result.geometry.move(result.target.points_m)
    return make_target_cloud(points_m, result.frame.image_rgb[result.target.pixels], header)


def geometry_header(result: InferenceResult, header: Header) -> Header:
    """Return the header of poses and points: stamp of the image, and target_frame or the frame of the image."""
    return Header(stamp=header.stamp, frame_id=result.geometry_frame_id or header.frame_id)


def latency_s(result: InferenceResult) -> float:
    """Return the seconds since the image arrived at the node; 0 without an image."""
    return time.monotonic() - result.capture.arrived_s if result.capture is not None else 0.0


def boxes_of(result: InferenceResult, segmentation: ModelSegmentation) -> Sequence[OrientedBox | None]:
    """Return the box of each instance in the frame of the outputs; None where it is unknown."""
    return result.geometry.output_boxes if result.geometry is not None else (None,) * len(segmentation.instances)
