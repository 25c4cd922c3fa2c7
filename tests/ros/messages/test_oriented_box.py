"""The 3D box as pose and size of messages, and in another frame."""

from __future__ import annotations

import numpy as np

from instructsam_ros.messages.oriented_box import OrientedBox

ROTATION = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
BOX = OrientedBox(np.array((0.1, 0.2, 0.9)), ROTATION, np.array((0.3, 0.2, 0.1)))


def test_pose_and_size_round_trip():
    read = OrientedBox.read(BOX.make_pose(), BOX.make_size())
    np.testing.assert_allclose(read.center_m, BOX.center_m)
    np.testing.assert_allclose(read.rotation, ROTATION, atol=1e-12)
    np.testing.assert_array_equal(read.size_m, BOX.size_m)


def test_moved_box_has_the_pose_in_the_other_frame():
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = ROTATION, (1.0, 0.0, 0.0)
    moved = BOX.moved(pose)
    # The rotation maps (x, y) to (-y, x).
    np.testing.assert_allclose(moved.center_m, (1.0 - 0.2, 0.1, 0.9))
    np.testing.assert_allclose(moved.rotation, ROTATION @ ROTATION)
    np.testing.assert_array_equal(moved.size_m, BOX.size_m)
