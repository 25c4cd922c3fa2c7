"""Instances as detections of vision_msgs. vision_msgs is optional, so it is imported inside the functions.

The class id of a detection is the label of the instance, a noun phrase such as "red mug", since an open vocabulary has
no fixed list of classes; its id is that of the instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import PoseWithCovariance
from std_msgs.msg import Header

from instructsam_model import Instance, Segmentation
from instructsam_ros.messages.oriented_box import OrientedBox


def make_detections(segmentation: Segmentation, header: Header) -> Any:
    """A Detection2DArray with the box of each instance in pixels."""
    from vision_msgs.msg import Detection2D, Detection2DArray

    detections = []
    for instance in segmentation.instances:
        x1, y1, x2, y2 = instance.box_xyxy.tolist()
        detection = Detection2D(header=header, id=instance.id, results=[_result(instance, segmentation)])
        box = detection.bbox
        box.center.position.x, box.center.position.y = (x1 + x2) / 2, (y1 + y2) / 2
        box.size_x, box.size_y = x2 - x1, y2 - y1
        detections.append(detection)
    return Detection2DArray(header=header, detections=detections)


def make_detections_3d(segmentation: Segmentation, boxes: Sequence[OrientedBox | None], header: Header) -> Any:
    """A Detection3DArray with the 3D box of each instance that has one.

    Args:
        segmentation: the instances.
        boxes: one for each instance, in the frame of the header; None where it is unknown.
        header: of the image.
    """
    from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray

    detections = []
    for instance, box in zip(segmentation.instances, boxes, strict=True):
        if box is not None:
            result = _result(instance, segmentation)
            result.pose = PoseWithCovariance(pose=box.make_pose())
            bbox = BoundingBox3D(center=box.make_pose(), size=box.make_size())
            detections.append(Detection3D(header=header, id=instance.id, results=[result], bbox=bbox))
    return Detection3DArray(header=header, detections=detections)


def _result(instance: Instance, segmentation: Segmentation) -> Any:
    from vision_msgs.msg import ObjectHypothesisWithPose

    result = ObjectHypothesisWithPose()
    # Back ends without phrases have no labels.
    result.hypothesis.class_id = instance.label or segmentation.instruction.text
    result.hypothesis.score = float(instance.score)
    return result
