"""What messages are made of: objects, clouds and poses in the frame of the outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instructsam_ros.messages.point_cloud2 import read_points
from instructsam_ros.node.result_content import ResultContent
from instructsam_ros.node.result_message import make_result_message
from tests.support.results import POSE, make_result


def make_content(*colors: str, in_base: bool = False, **attributes: object) -> ResultContent:
    result = make_result(*colors, camera_pose=POSE if in_base else None)
    result = replace(result, geometry_frame_id='base_link') if in_base else result
    assert result.segmentation is not None
    return ResultContent(result, result.segmentation, **attributes)


def test_each_instance_with_a_box_is_an_object():
    content = make_content('red', 'green')
    assert [each.number for each in content.objects] == [1, 2]
    assert [each.label for each in content.objects] == ['red', 'green']
    assert all(each.header == content.header for each in content.objects)


def test_ids_are_those_of_tracking_or_made_of_instruction_and_number_and_of_the_camera():
    tracked, result = make_content('red', 'green'), make_result('red', 'green')
    assert [each.id for each in tracked.objects] == ['1', '2']
    assert result.segmentation is not None
    instances = tuple(replace(each, id='') for each in result.segmentation.instances)
    untracked = ResultContent(result, replace(result.segmentation, instances=instances))
    assert [each.id for each in untracked.objects] == ['red green 1', 'red green 2']
    assert [each.id for each in make_content('red', camera='left').objects] == ['left 1']


@pytest.mark.parametrize('in_base', [False, True])
def test_poses_boxes_and_clouds_are_in_the_frame_of_the_outputs(in_base: bool):
    camera, moved = make_content('red', 'green'), make_content('red', 'green', in_base=in_base)
    frame_id = 'base_link' if in_base else 'camera'
    pose = POSE if in_base else np.eye(4)

    def in_frame(points_m: np.ndarray) -> np.ndarray:
        return points_m @ pose[:3, :3].T + pose[:3, 3]

    clouds = {'scene': ResultContent.make_scene_points, 'target': ResultContent.make_target_points}
    clouds['instances'] = ResultContent.make_instances_points
    for make in clouds.values():
        message = make(moved)
        assert (message.header.frame_id, message.header.stamp) == (frame_id, moved.header.stamp)
        np.testing.assert_allclose(read_points(message)[0], in_frame(read_points(make(camera))[0]), atol=1e-6)
    target = moved.make_target_pose()
    assert target is not None
    assert target.header.frame_id == frame_id
    box, moved_box = (content.objects[0].box for content in (camera, moved))
    np.testing.assert_allclose(moved_box.center_m, in_frame(box.center_m))
    assert target.pose == moved_box.make_pose()
    message = make_result_message(moved.result)
    assert (message.geometry_frame_id, message.header.frame_id) == (frame_id, 'camera')
    assert message.instances[0].pose == target.pose
    # The label is above the box in the image.
    np.testing.assert_allclose(moved.objects[0].up, pose[:3, :3] @ (0, -1, 0))


def test_cloud_of_instances_has_the_points_of_each_instance():
    content = make_content('red', 'green')
    message = content.make_instances_points()
    points = np.frombuffer(message.data, np.dtype('f4, f4, f4, u4, i4')).copy()
    assert np.unique(points['f4']).tolist() == [1, 2]
    geometry = content.result.geometry
    assert geometry is not None
    for number, surface in enumerate(geometry.surfaces, start=1):
        mine = points[points['f4'] == number]
        np.testing.assert_array_equal(np.stack([mine[name] for name in ('f0', 'f1', 'f2')], 1), surface.points_m)
    assert (points['f3'][points['f4'] == 1] == 0xFF0000).all()
    assert (points['f3'][points['f4'] == 2] == 0x00FF00).all()


def test_without_depth_there_are_no_objects_and_no_scene():
    result = replace(make_result('red'), geometry=None)
    assert result.segmentation is not None
    content = ResultContent(result, result.segmentation)
    assert (content.objects, content.make_scene_points(), content.make_target_pose()) == ((), None, None)
    assert content.make_target_points().width == content.make_instances_points().width == 0
    assert content.make_grasp_samples() is None
