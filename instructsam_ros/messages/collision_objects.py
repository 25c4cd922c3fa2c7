"""3D boxes as collision objects for MoveIt. moveit_msgs is optional, so it is imported inside the functions.

MoveIt's planning scene monitor subscribes to `planning_scene` and to `collision_object`, with a queue of 10 messages
(moveit_ros/planning, planning_scene_monitor.cpp). A scene is one message and is applied as a whole. MoveIt looks up the
frame of an object when the message arrives, whatever its stamp is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import Pose

from instructsam_ros.messages.located_object import LocatedObject


def make_collision_objects(objects: Sequence[LocatedObject], former: Sequence[LocatedObject]) -> list[Any]:
    """CollisionObject messages that replace the former objects of an instruction by new ones.

    Args:
        objects: are added, or replaced if they are there.
        former: those of the last message that are no longer in `objects` are removed.
    """
    from moveit_msgs.msg import CollisionObject

    present = {each.id for each in objects}
    # An id must not be empty: REMOVE without an id removes all objects of the scene.
    removed = [
        CollisionObject(header=each.header, id=each.id, operation=CollisionObject.REMOVE)
        for each in former
        if each.id not in present
    ]
    return [*removed, *map(_added, objects)]


def make_planning_scene(objects: Sequence[LocatedObject], former: Sequence[LocatedObject]) -> Any:
    """The same as one PlanningScene message, which changes nothing else in the scene; None if there is no change."""
    from moveit_msgs.msg import PlanningScene

    changes = make_collision_objects(objects, former)
    if not changes:
        return None
    scene = PlanningScene(is_diff=True)
    scene.robot_state.is_diff = True  # otherwise an empty state would replace that of the robot
    scene.world.collision_objects = changes
    return scene


def _added(each: LocatedObject) -> Any:
    from moveit_msgs.msg import CollisionObject
    from shape_msgs.msg import SolidPrimitive

    # The pose of the object is the center of its box, so that planners can use the frame of the object.
    message = CollisionObject(header=each.header, id=each.id, pose=each.box.make_pose(), operation=CollisionObject.ADD)
    message.primitives = [SolidPrimitive(type=SolidPrimitive.BOX, dimensions=each.box.size_m.tolist())]
    message.primitive_poses = [Pose()]
    message.type.key = each.label
    return message
