"""The direction of the label of a box."""

from __future__ import annotations

import numpy as np

from instructsam_ros.messages.geometry import project
from instructsam_ros.messages.located_object import UP_IN_IMAGE


def test_up_points_to_the_upper_edge_of_the_image():
    intrinsics = np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]])
    center_m = np.array((0.0, 0, 1))
    assert project(center_m + 0.1 * UP_IN_IMAGE, intrinsics) == (50.0, 40.0)
