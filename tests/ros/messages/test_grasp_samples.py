"""CloudSamples, where gpd_ros is installed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message

from instructsam_ros.messages.grasp_samples import CLOUD_SAMPLES, MARGIN_M, MAX_SAMPLES, VOXEL_M, make_grasp_samples
from instructsam_ros.messages.optional_message import has_message, load_message_type
from instructsam_ros.messages.point_cloud2 import read_points
from tests.support.located import HEADER

if not has_message(CLOUD_SAMPLES):
    pytest.skip('neither gpd_ros nor gpd_ros2_msgs is installed', allow_module_level=True)


def grid(low_m: float, high_m: float, step_m: float) -> NDArray[np.float32]:
    """Points (N, 3) of a plane at 0.8 m."""
    x, y = np.meshgrid(*[np.arange(low_m, high_m, step_m)] * 2)
    return np.stack([x, y, np.full_like(x, 0.8)], axis=-1).reshape(-1, 3).astype(np.float32)


def test_the_scene_around_the_target_is_sent_with_points_of_the_target_as_samples():
    scene_m, target_m = grid(-1.0, 1.0, 0.01), grid(-0.05, 0.05, 0.002)
    colors_rgb = np.full(scene_m.shape, 9, dtype=np.uint8)
    message = make_grasp_samples(scene_m, colors_rgb, target_m, np.array((0.0, 0.1, 0.2)), HEADER)
    message = deserialize_message(serialize_message(message), load_message_type(CLOUD_SAMPLES))
    sources = message.cloud_sources
    points_m, _, _ = read_points(sources.cloud)
    assert sources.cloud.header == HEADER
    assert np.abs(points_m[:, :2]).max() == pytest.approx(0.05 + MARGIN_M, abs=0.01)
    # Each point is from camera 0, whose position is the first view point.
    assert [each.data for each in sources.camera_source] == [0] * len(points_m)
    [view] = sources.view_points
    assert (view.x, view.y, view.z) == (0.0, 0.1, 0.2)
    samples_m = np.array([(each.x, each.y, each.z) for each in message.samples])
    assert MAX_SAMPLES / 2 < len(samples_m) <= MAX_SAMPLES
    assert (samples_m[:, None] == target_m).all(axis=-1).any(axis=1).all()
    assert np.ptp(samples_m[:, 1]) > 0.09  # from all of the target


def test_one_point_of_each_voxel_is_sent():
    scene_m = np.repeat(grid(0.0, 0.1, 2 * VOXEL_M), 5, axis=0)
    message = make_grasp_samples(scene_m, np.zeros(scene_m.shape, np.uint8), scene_m[:7], np.zeros(3), HEADER)
    assert message.cloud_sources.cloud.width == len(scene_m) // 5
    assert len(message.samples) == 7
