"""Collision objects and planning scenes, where moveit_msgs is installed."""

from __future__ import annotations

import pytest
from rclpy.serialization import deserialize_message, serialize_message

from instructsam_ros.messages.collision_objects import make_collision_objects, make_planning_scene
from tests.support.located import BOX, HEADER, located

moveit = pytest.importorskip('moveit_msgs.msg', reason='moveit_msgs comes with ROS, not from PyPI')
shapes = pytest.importorskip('shape_msgs.msg')


def test_an_object_is_a_box_at_its_center():
    [message] = make_collision_objects([located(1, '7')], [])
    message = deserialize_message(serialize_message(message), moveit.CollisionObject)
    assert (message.id, message.type.key, message.header) == ('7', 'red mug', HEADER)
    assert message.operation == moveit.CollisionObject.ADD
    assert message.pose == BOX.make_pose()
    [shape], [pose] = message.primitives, message.primitive_poses
    assert shape.type == shapes.SolidPrimitive.BOX
    assert list(shape.dimensions) == [0.3, 0.2, 0.1]
    assert (pose.position.x, pose.orientation.w) == (0.0, 1.0)


def test_objects_that_are_gone_are_removed_by_id_and_those_that_stay_are_replaced():
    former = [located(1, '7'), located(2, '9')]
    operations = [(each.id, each.operation) for each in make_collision_objects([located(1, '9')], former)]
    assert operations == [('7', moveit.CollisionObject.REMOVE), ('9', moveit.CollisionObject.ADD)]
    operations = [(each.id, each.operation) for each in make_collision_objects([], former)]
    assert operations == [('7', moveit.CollisionObject.REMOVE), ('9', moveit.CollisionObject.REMOVE)]


def test_a_planning_scene_changes_its_objects_only():
    scene = make_planning_scene([located(1, '9')], [located(1, '7')])
    scene = deserialize_message(serialize_message(scene), moveit.PlanningScene)
    assert scene.is_diff
    assert scene.robot_state.is_diff
    assert [each.id for each in scene.world.collision_objects] == ['7', '9']
    assert not scene.allowed_collision_matrix.entry_names
    assert make_planning_scene([], []) is None
