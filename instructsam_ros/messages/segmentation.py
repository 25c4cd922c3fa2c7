"""The Segmentation message: writer and reader, and the images made from a segmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from instructsam_model import Instance as ModelInstance
from instructsam_model import Instruction
from instructsam_model import Segmentation as ModelSegmentation
from instructsam_model.masks import tight_box
from instructsam_ros.messages.image import make_image, make_mask, read_mask
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Instance, Segmentation


def make_segmentation(segmentation: ModelSegmentation, header: Header) -> Segmentation:
    """The message of a segmentation; `latency` is set by the publisher."""
    width, height = segmentation.size_wh
    # Status FAILED is set by the node, which also makes messages without a segmentation.
    return Segmentation(
        header=header,
        instruction=segmentation.instruction.text,
        request_id=segmentation.instruction.id,
        text=segmentation.text,
        raw_text=segmentation.raw_text,
        status=Segmentation.OK if segmentation.instances else Segmentation.NO_TARGET,
        height=height,
        width=width,
        instances=[_instance_message(instance, header) for instance in segmentation.instances],
        truncated=segmentation.truncated,
    )


def read_segmentation(message: Segmentation) -> ModelSegmentation:
    """The segmentation in a message, with masks of the size of the image.

    Raises:
        ValueError: the fields of the message are inconsistent, or its instruction is empty.
    """
    return ModelSegmentation(
        instances=tuple(_instance(instance, (message.height, message.width)) for instance in message.instances),
        instruction=Instruction(message.instruction, message.request_id),
        text=message.text,
        raw_text=message.raw_text,
        size_wh=(message.width, message.height),
        stamp_ns=read_stamp_ns(message.header.stamp),
        frame_id=message.header.frame_id,
        truncated=message.truncated,
    )


def label_pixels(segmentation: ModelSegmentation) -> NDArray[np.uint16]:
    """Label array uint16 (H, W): 0 is background, k is instance k counted from 1; the higher score wins an overlap."""
    width, height = segmentation.size_wh
    labels = np.zeros((height, width), dtype=np.uint16)
    # Instances are sorted by descending score, so the best one is written last.
    for number, instance in reversed(list(enumerate(segmentation.instances, start=1))):
        labels[instance.mask] = number
    return labels


def make_label_image(segmentation: ModelSegmentation, header: Header) -> Image:
    """The `label_pixels` as a mono16 Image message."""
    return make_image(label_pixels(segmentation), 'mono16', header)


def make_target_mask(segmentation: ModelSegmentation, header: Header) -> Image:
    """The mask of the best instance as a mono8 Image message; all 0 without instances."""
    width, height = segmentation.size_wh
    if not segmentation.instances:
        return make_mask(np.zeros((height, width), dtype=np.bool_), header)
    return make_mask(segmentation.instances[0].mask, header)


def _instance_message(instance: ModelInstance, header: Header) -> Instance:
    # Use the tight box of the mask: a predicted box that is one pixel too small would crop the mask.
    box = tight_box(instance.mask)
    x1, y1, x2, y2 = (int(side) for side in (instance.box_xyxy if box is None else box))
    message = Instance(id=instance.id, label=instance.label, score=instance.score)
    message.box = RegionOfInterest(x_offset=x1, y_offset=y1, width=x2 - x1, height=y2 - y1)
    message.mask = make_mask(instance.mask[y1:y2, x1:x2], header)
    return message


def _instance(message: Instance, size_hw: tuple[int, int]) -> ModelInstance:
    box = message.box
    x1, y1, x2, y2 = box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height
    # The message holds the mask cropped to the box; paste it into an array of the image size.
    mask = np.zeros(size_hw, dtype=np.bool_)
    mask[y1:y2, x1:x2] = read_mask(message.mask)
    box_xyxy = np.array((x1, y1, x2, y2), dtype=np.float32)
    return ModelInstance(mask, box_xyxy, message.score, message.label, message.id)
