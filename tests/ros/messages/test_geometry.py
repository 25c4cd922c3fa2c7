"""Poses as matrices and as messages."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_ros.messages.geometry import make_transform, read_pose


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
