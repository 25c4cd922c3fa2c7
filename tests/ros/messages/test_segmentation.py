"""The Segmentation message, label images and the mask of the target."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_ros.messages.segmentation import (
    make_label_image,
    make_segmentation,
    make_target_mask,
    read_segmentation,
)
from instructsam_ros.msg import Segmentation as SegmentationMessage

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id='camera_optical_frame')


def instance(top: int, left: int, score: float, label: str = '') -> Instance:
    """A ring of 4 x 4 with a hole, so that boxes do not fit by chance."""
    mask = np.zeros((12, 16), dtype=np.bool_)
    mask[top : top + 4, left : left + 4] = True
    mask[top + 1 : top + 3, left + 1 : left + 3] = False
    return Instance(mask, np.array((left, top, left + 4, top + 4), dtype=np.float32), score, label, f'id of {label}')


SEGMENTATION = Segmentation(
    instances=(instance(2, 3, 0.9, 'mug'), instance(4, 5, 0.6, 'cup')),
    instruction=Instruction('the mugs', 'request 7'),
    text='mug and cup',
    size_wh=(16, 12),
    stamp_ns=1_700_000_000_123_456_789,
    frame_id='camera_optical_frame',
    truncated=True,
)


def test_segmentation_round_trip():
    message = make_segmentation(SEGMENTATION, HEADER)
    message = deserialize_message(serialize_message(message), SegmentationMessage)
    first = message.instances[0]
    assert (first.box.x_offset, first.box.y_offset, first.box.width, first.box.height) == (3, 2, 4, 4)
    assert (first.mask.encoding, first.mask.width, first.mask.height) == ('mono8', 4, 4)
    assert set(first.mask.data) == {0, 255}
    assert first.mask.header == message.header == HEADER
    back = read_segmentation(message)
    assert (back.instruction, back.text, back.size_wh) == (SEGMENTATION.instruction, 'mug and cup', (16, 12))
    assert (back.stamp_ns, back.frame_id) == (SEGMENTATION.stamp_ns, SEGMENTATION.frame_id)
    assert message.truncated
    assert back.truncated
    for was, is_ in zip(SEGMENTATION.instances, back.instances, strict=True):
        np.testing.assert_array_equal(is_.mask, was.mask)
        assert (is_.id, is_.label, is_.score) == (was.id, was.label, pytest.approx(was.score))


def test_mask_is_not_cropped_to_a_box_that_is_too_small():
    loose = instance(2, 3, 0.9)
    tight = Instance(loose.mask, np.array((4, 3, 6, 5), dtype=np.float32), loose.score)
    message = make_segmentation(Segmentation((tight,), Instruction('mug'), '', (16, 12)), HEADER)
    np.testing.assert_array_equal(read_segmentation(message).instances[0].mask, loose.mask)


def test_label_image_gives_overlaps_to_the_higher_score():
    message = make_label_image(SEGMENTATION, HEADER)
    labels = np.frombuffer(message.data, np.uint16).reshape(12, 16)
    first, second = (instance.mask for instance in SEGMENTATION.instances)
    assert np.any(first & second)
    assert np.all(labels[first] == 1)
    assert np.all(labels[second & ~first] == 2)
    assert np.all(labels[~first & ~second] == 0)


def test_target_mask_is_that_of_the_best_instance():
    message = make_target_mask(SEGMENTATION, HEADER)
    target = np.frombuffer(message.data, np.uint8).reshape(12, 16)
    np.testing.assert_array_equal(target, SEGMENTATION.instances[0].mask * np.uint8(255))
