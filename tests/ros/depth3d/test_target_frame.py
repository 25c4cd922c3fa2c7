"""Outputs in a frame of choice with the real tf2_ros, where it is installed. Covers depth3d.estimator.

Boxes of `depth.box_frame` and outputs of `target_frame` are in different frames here, and the camera moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.geometry import make_transform, read_pose
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.point_cloud2 import read_points
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import ErrorCode
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph

pytest.importorskip('tf2_ros', reason='tf2_ros comes with ROS, not from PyPI')
tf2_msgs = pytest.importorskip('tf2_msgs.msg')

INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
TABLE = np.array([[1.0, 0, 0, 0.4], [0, 1, 0, 0.2], [0, 0, 1, 0.1], [0, 0, 0, 1]])
"""Pose of the table in the base."""


def camera_pose(stamp_ns: int) -> np.ndarray:
    """Pose of the camera in the base: it looks straight down and moves along x, back and forth."""
    pose = np.diag((1.0, -1.0, -1.0, 1.0))
    pose[:3, 3] = 0.3 * np.sin(stamp_ns / 2e8), 0.2, 1.1
    return pose


class MovingCamera:
    """Publishes images with depth, calibration and transforms at their stamps."""

    def __init__(self, graph: Graph, *, knows_base: bool = True) -> None:
        self.graph, self.knows_base = graph, knows_base
        self.depth = graph.peer.create_publisher(Image, 'depth/image', 5)
        self.info = graph.peer.create_publisher(CameraInfo, 'camera_info', 5)
        self.tf = graph.peer.create_publisher(tf2_msgs.TFMessage, '/tf', 100)

    def image(self) -> Image:
        """A red block of 8 cm before a table that is 1 m away."""
        header = self.graph.header()
        pixels = np.zeros((48, 64, 3), dtype=np.uint8)
        pixels[16:32, 20:40] = COLORS_RGB['red']
        depth_m = np.full((48, 64), 1.0, dtype=np.float32)
        depth_m[16:32, 20:40] = 0.92
        base = Header(stamp=header.stamp, frame_id='base')
        transforms = [make_transform(TABLE, base, 'table')]
        if self.knows_base:
            transforms.append(make_transform(camera_pose(read_stamp_ns(header.stamp)), base, header.frame_id))
        self.tf.publish(tf2_msgs.TFMessage(transforms=transforms))
        self.info.publish(make_camera_info(INTRINSICS, (64, 48), header))
        self.depth.publish(make_depth(depth_m, '32FC1', header))
        return make_image(pixels, 'rgb8', header)


def test_outputs_are_in_the_target_frame_at_the_stamp_of_the_image(graph: Graph):
    parameters: dict[str, Any] = {'depth.enabled': True, 'depth.box_frame': 'table', 'target_frame': 'base'}
    graph.segmenter(instruction='red', **parameters)
    camera, answers = MovingCamera(graph), graph.subscribe()
    clouds, poses = (
        graph.subscribe('segmenter/points', PointCloud2),
        graph.subscribe('segmenter/target/pose', PoseStamped),
    )
    graph.publish_images(graph.camera(), lambda: len(poses) > 5 and len(clouds) > 5, camera.image, rate_hz=20)
    # The block stands on the table and moves in the image of the camera only.
    spread_m = []
    for message in poses:
        pose = read_pose(message.pose.position, message.pose.orientation)
        expected_m = camera_pose(read_stamp_ns(message.header.stamp)) @ ((29.5 - 31.5) / 60 * 0.92, 0.0, 0.96, 1.0)
        np.testing.assert_allclose(pose[:3, 3], expected_m[:3], atol=0.01)
        np.testing.assert_allclose(pose[:3, 2], (0, 0, 1), atol=1e-6)  # upright in the table, and so in the base
        assert message.header.frame_id == 'base'
        spread_m.append(expected_m[0])
    assert np.ptp(spread_m) > 0.05
    for cloud in clouds:
        assert cloud.header.frame_id == 'base'
        z = read_points(cloud)[0][:, 2]
        np.testing.assert_allclose((z.min(), z.max()), (0.1, 0.18), atol=0.001)
    with_box = [each for each in answers if each.instances and each.instances[0].size.x > 0]
    assert {each.geometry_frame_id for each in with_box} == {'base'}
    assert with_box[0].instances[0].size.z == pytest.approx(0.08, abs=0.005)


def test_without_a_transform_there_is_no_geometry_in_another_frame(graph: Graph):
    graph.segmenter(instruction='red', **{'depth.enabled': True, 'target_frame': 'base', 'tf_timeout': 0.1})
    camera, answers = MovingCamera(graph, knows_base=False), graph.subscribe()
    clouds = graph.subscribe('segmenter/points', PointCloud2)
    graph.publish_images(
        graph.camera(), lambda: any(each.points_error_code for each in answers), camera.image, rate_hz=20
    )
    said = next(each for each in answers if 'base' in each.depth_message)
    assert (said.points_error_code, said.boxes_error_code) == (ErrorCode.NO_TRANSFORM, ErrorCode.NO_TRANSFORM)
    assert all(each.instances[0].size.x == 0 for each in answers)
    assert not clouds
