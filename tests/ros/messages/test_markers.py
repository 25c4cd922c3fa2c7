"""Boxes and labels as markers."""

from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_model.draw import color_rgb
from instructsam_ros.depth3d.geometry import Geometry3D
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.markers import make_markers

HEADER = Header(frame_id='camera')
MASK = np.ones((4, 6), dtype=np.bool_)
BOX = OrientedBox(np.array((0.1, 0.2, 0.9)), np.eye(3), np.array((0.3, 0.2, 0.1)))


def answer(count: int) -> Segmentation:
    box_xyxy = np.array((0, 0, 6, 4), dtype=np.float32)
    instances = tuple(Instance(MASK, box_xyxy, 0.9 - 0.1 * index, 'red mug') for index in range(count))
    return Segmentation(instances, Instruction('the red mugs'), '', (6, 4))


def measurement(*boxes: OrientedBox | None) -> Geometry3D:
    depth_m, intrinsics = np.ones(MASK.shape, dtype=np.float32), np.eye(3)
    surface = VisibleSurface(MASK, depth_m, intrinsics)
    return Geometry3D(depth_m, intrinsics, (surface,) * len(boxes), boxes)


def test_markers_have_a_box_and_a_label_per_instance_after_deleteall():
    array = make_markers(answer(3), measurement(BOX, None, BOX), HEADER)
    assert array.markers[0].action == Marker.DELETEALL
    assert all(marker.header == HEADER for marker in array.markers)
    cubes = [marker for marker in array.markers if marker.action == Marker.ADD and marker.type == Marker.CUBE]
    texts = [
        marker for marker in array.markers if marker.action == Marker.ADD and marker.type == Marker.TEXT_VIEW_FACING
    ]
    assert [cube.id for cube in cubes] == [text.id for text in texts] == [1, 3]
    assert [text.text for text in texts] == ['red mug 0.90', 'red mug 0.70']
    assert (cubes[0].scale.x, cubes[0].scale.y, cubes[0].scale.z) == (0.3, 0.2, 0.1)
    assert cubes[0].pose.position.z == 0.9
    assert (cubes[1].color.r, cubes[1].color.g) == pytest.approx([channel / 255 for channel in color_rgb(2)[:2]])
    assert texts[0].pose.position.y < 0.2 - 0.1
    assert len({(marker.ns, marker.id) for marker in array.markers}) == len(array.markers)


def test_markers_without_boxes_delete_the_previous_ones():
    for measured in (None, measurement(None)):
        array = make_markers(answer(1), measured, HEADER)
        assert [marker.action for marker in array.markers] == [Marker.DELETEALL]
