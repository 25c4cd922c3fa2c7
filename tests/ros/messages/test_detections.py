"""Detections of vision_msgs, where vision_msgs is installed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_ros.messages.detections import make_detections, make_detections_3d
from instructsam_ros.messages.oriented_box import OrientedBox
from tests.support.graph import Graph

vision_msgs = pytest.importorskip('vision_msgs.msg', reason='vision_msgs comes with ROS, not from PyPI')

HEADER = Header(frame_id='camera')
MASK = np.ones((4, 6), dtype=np.bool_)
BOX = OrientedBox(np.array((0.1, 0.2, 0.9)), np.eye(3), np.array((0.3, 0.2, 0.1)))


@pytest.fixture
def segmentation() -> Segmentation:
    box_xyxy = np.array((1, 0, 6, 4), dtype=np.float32)
    instances = tuple(Instance(MASK, box_xyxy, score, 'red mug', id=id_) for score, id_ in ((0.9, '4'), (0.7, '2')))
    return Segmentation(instances, Instruction('the mugs'), '', (6, 4))


def hypothesis(detection: Any) -> tuple[str, float]:
    [result] = detection.results
    return result.hypothesis.class_id, result.hypothesis.score


def test_class_id_is_the_label_or_the_instruction_of_a_back_end_without_labels(segmentation: Segmentation):
    [labeled, _] = segmentation.instances
    mixed = replace(segmentation, instances=(labeled, replace(labeled, label='', score=0.7)))
    for array in (make_detections(mixed, HEADER), make_detections_3d(mixed, [BOX, BOX], HEADER)):
        assert [hypothesis(each)[0] for each in array.detections] == ['red mug', 'the mugs']


def test_2d_detections_have_boxes_in_pixels(segmentation: Segmentation):
    array = make_detections(segmentation, HEADER)
    assert array.header == array.detections[0].header == HEADER
    assert [hypothesis(each) for each in array.detections] == [('red mug', 0.9), ('red mug', 0.7)]
    assert [each.id for each in array.detections] == ['4', '2']
    box = array.detections[0].bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (3.5, 2.0, 5.0, 4.0)


def test_3d_detections_leave_out_instances_without_a_3d_box(segmentation: Segmentation):
    array = make_detections_3d(segmentation, [None, BOX], HEADER)
    [detection] = array.detections
    assert array.header == detection.header == HEADER
    assert (detection.id, hypothesis(detection)) == ('2', ('red mug', 0.7))
    assert detection.bbox.center == detection.results[0].pose.pose == BOX.make_pose()
    assert detection.bbox.size == BOX.make_size()
    assert not make_detections_3d(segmentation, [None, None], HEADER).detections


def test_detections_are_published_with_the_header_of_the_image(graph: Graph):
    graph.segmenter(instruction='red')
    boxes = graph.subscribe('segmenter/detections', vision_msgs.Detection2DArray)
    boxes_3d = graph.subscribe('segmenter/detections_3d', vision_msgs.Detection3DArray)
    sent = graph.publish_images(graph.camera(), until=lambda: boxes and boxes_3d)
    assert boxes[0].header in [image.header for image in sent]
    assert hypothesis(boxes[0].detections[0]) == ('red', 0.9)
    assert not boxes_3d[0].detections
