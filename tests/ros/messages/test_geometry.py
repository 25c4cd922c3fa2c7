"""Camera calibration, poses and back-projection."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_ros.messages.geometry import (
    back_project,
    make_camera_info,
    make_transform,
    points_at,
    points_of_all,
    project,
    read_intrinsics,
    read_pose,
)

INTRINSICS = np.array([[100.0, 0, 7.5], [0, 110.0, 5.5], [0, 0, 1]])


def test_camera_info_describes_rectified_images():
    message = make_camera_info(INTRINSICS, (16, 12), Header(frame_id='camera'))
    assert (message.width, message.height, message.header.frame_id) == (16, 12, 'camera')
    assert message.distortion_model == 'plumb_bob'
    assert list(message.d) == [0.0] * 5
    np.testing.assert_array_equal(message.r, np.eye(3).ravel())
    np.testing.assert_array_equal(np.reshape(message.p, (3, 4)), np.hstack([INTRINSICS, np.zeros((3, 1))]))
    np.testing.assert_array_equal(read_intrinsics(message), INTRINSICS)


def test_project_inverts_back_project():
    depth_m = np.full((12, 16), 2.0, dtype=np.float32)
    depth_m[3, 4:7] = (0.5, 0.0, np.nan)
    mask = np.zeros_like(depth_m, dtype=np.bool_)
    mask[3, 4:8] = True
    points_m = back_project(depth_m, mask, INTRINSICS)
    np.testing.assert_allclose(points_m[:, 2], [0.5, 2.0])  # without the two that have no depth
    np.testing.assert_allclose(points_m[0], [(4 - 7.5) / 100 * 0.5, (3 - 5.5) / 110 * 0.5, 0.5])
    np.testing.assert_allclose([project(point_m, INTRINSICS) for point_m in points_m], [(4, 3), (7, 3)])


def test_points_at_agrees_with_points_of_all():
    depth_m = np.random.default_rng(0).uniform(0.5, 2.0, (12, 16)).astype(np.float32)
    mask = depth_m > 1.0
    some_m = points_at(depth_m, np.nonzero(mask), INTRINSICS)
    assert some_m.dtype == np.float32
    np.testing.assert_allclose(some_m, back_project(depth_m, mask, INTRINSICS), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(points_of_all(depth_m, INTRINSICS)[mask], some_m)


@pytest.mark.parametrize(
    'turn',
    [(0.0, 0.0, 0.0), (0.3, -0.5, 2.0), (np.pi, 0.0, 0.0), (0.0, -np.pi, 0.0)],
    ids=['none', 'some', 'half about x', 'half about -y'],
)
def test_transform_of_a_pose(turn: tuple[float, float, float]):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(np.array(turn))[0], (1.0, -2.0, 0.5)
    message = make_transform(pose, Header(frame_id='table'), 'camera')
    assert (message.header.frame_id, message.child_frame_id) == ('table', 'camera')
    q, shift = message.transform.rotation, message.transform.translation
    point, axis = np.array((0.1, 0.2, 0.3)), np.array((q.x, q.y, q.z))
    turned = point + 2 * np.cross(axis, np.cross(axis, point) + q.w * point)
    np.testing.assert_allclose(np.add(turned, (shift.x, shift.y, shift.z)), (pose @ (*point, 1))[:3], atol=1e-12)
    np.testing.assert_allclose(read_pose(shift, q), pose, atol=1e-12)
