"""The direction of the label of a box."""

from __future__ import annotations

import numpy as np

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.located_object import UP_IN_IMAGE


def test_up_points_to_the_upper_edge_of_the_image():
    camera = CameraModel(np.array([[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]), (101, 101))
    above_m = np.array((0.0, 0, 1)) + 0.1 * UP_IN_IMAGE
    assert camera.project(above_m[None]).tolist() == [[50.0, 40.0]]
