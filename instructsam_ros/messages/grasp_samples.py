"""The CloudSamples message of gpd_ros (Grasp Pose Detection), which is optional.

gpd_ros itself is for ROS 1 (atenpas/gpd_ros 9ae5241). Ports to ROS 2 have the same message in a package of that name
(manjeetjha070/gpd_ros2 4197cc2) or in gpd_ros2_msgs (rohitmenon86/gpd_ros2 6865db1).

GPD looks for grasps at the samples and checks them for collisions with the cloud. CloudIndexed, its message with
indices, is not used: GPD does not renumber them when it removes points from the cloud (gpd/util/cloud.cpp).

Notation: N points of the scene, M points of the target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import Header, Int64

from instructsam_ros.messages.optional_message import first_installed, load_message_type
from instructsam_ros.messages.point_cloud2 import Colors, make_target_cloud

CLOUD_SAMPLES = first_installed('gpd_ros/msg/CloudSamples', 'gpd_ros2_msgs/msg/CloudSamples')
MARGIN_M = 0.15
"""Points of the scene up to this distance from the target are sent: more than GPD's hand, 0.12 x 0.06 m, can reach."""
VOXEL_M = 0.003
"""One point of the scene is sent for each cube of this size, which is GPD's own default voxel_size."""
MAX_SAMPLES = 500
"""GPD itself draws num_samples of them at random, 30 to 100 in its configuration files."""


def make_grasp_samples(
    points_m: NDArray[np.float32],
    colors_rgb: Colors,
    target_m: NDArray[np.float32],
    camera_m: NDArray[np.float64],
    header: Header,
) -> Any:
    """A CloudSamples message: the scene around the target, and points of the target as samples.

    Args:
        points_m: (N, 3) of the scene, in the frame of the header; finite.
        colors_rgb: (N, 3).
        target_m: (M, 3) of the target, at least one.
        camera_m: (3,), position of the camera in that frame, to which surface normals point.
        header: stamp of the image, frame of the points.
    """
    low_m, high_m = target_m.min(axis=0) - MARGIN_M, target_m.max(axis=0) + MARGIN_M
    near = np.flatnonzero(((points_m >= low_m) & (points_m <= high_m)).all(axis=1))
    # The voxel of each point as one number, which is much faster to sort than three.
    voxels = ((points_m[near] - low_m) / VOXEL_M).astype(np.int64)
    count = ((high_m - low_m) / VOXEL_M).astype(np.int64) + 1
    near = near[np.unique(np.ravel_multi_index(tuple(voxels.T), tuple(count)), return_index=True)[1]]
    message = load_message_type(CLOUD_SAMPLES)(
        samples=[_point(each) for each in target_m[:: -(-len(target_m) // MAX_SAMPLES)]]
    )
    sources = message.cloud_sources
    sources.cloud = make_target_cloud(points_m[near], colors_rgb[near], header)
    sources.view_points = [_point(camera_m)]
    # All points are from the camera with index 0; the same message object is written N times.
    sources.camera_source = [Int64()] * len(near)
    return message


def _point(position_m: NDArray[Any]) -> Point:
    x, y, z = (float(each) for each in position_m)
    return Point(x=x, y=y, z=z)
