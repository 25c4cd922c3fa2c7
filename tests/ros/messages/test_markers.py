"""Boxes and labels as markers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_model.draw import color_rgb
from instructsam_ros.messages.markers import make_markers
from tests.support.located import HEADER, located


def added(array: MarkerArray, kind: int) -> list[Marker]:
    return [marker for marker in array.markers if marker.action == Marker.ADD and marker.type == kind]


def test_markers_have_a_box_and_a_label_per_object_after_deleteall():
    array = make_markers([located(1), located(3)], [], HEADER)
    assert array.markers[0].action == Marker.DELETEALL
    assert all(marker.header == HEADER for marker in array.markers)
    cubes, texts = added(array, Marker.CUBE), added(array, Marker.TEXT_VIEW_FACING)
    assert [cube.id for cube in cubes] == [text.id for text in texts] == [1, 3]
    assert [text.text for text in texts] == ['red mug 0.90', 'red mug 0.70']
    assert (cubes[0].scale.x, cubes[0].scale.y, cubes[0].scale.z) == (0.3, 0.2, 0.1)
    assert cubes[0].pose.position.z == 0.9
    assert (cubes[1].color.r, cubes[1].color.g) == pytest.approx([channel / 255 for channel in color_rgb(2)[:2]])
    assert texts[0].pose.position.y < 0.2 - 0.1
    assert len({(marker.ns, marker.id) for marker in array.markers}) == len(array.markers)


def test_objects_of_other_instructions_stay_with_ids_of_their_own():
    array = make_markers([located(1, x_m=0.1), located(2, x_m=0.2)], [located(1, x_m=0.3), located(2, x_m=0.4)], HEADER)
    cubes = added(array, Marker.CUBE)
    # The first cube is the best instance of the newest result.
    assert [cube.pose.position.x for cube in cubes] == [0.1, 0.2, 0.3, 0.4]
    assert len({(marker.ns, marker.id) for marker in array.markers}) == len(array.markers) == 9
    assert [marker.action for marker in array.markers].count(Marker.DELETEALL) == 1


def test_labels_are_above_the_box_in_the_image_whatever_the_frame():
    in_base = replace(located(1), up=np.array((0.0, 0, 1)))
    [cube], [text] = (
        added(make_markers([in_base], [], HEADER), kind) for kind in (Marker.CUBE, Marker.TEXT_VIEW_FACING)
    )
    assert (text.pose.position.x, text.pose.position.y) == (cube.pose.position.x, cube.pose.position.y)
    assert text.pose.position.z > cube.pose.position.z + 0.3 / 2


def test_markers_without_boxes_delete_the_previous_ones():
    assert [marker.action for marker in make_markers([], [], HEADER).markers] == [Marker.DELETEALL]
