"""PointCloud2 messages: writer and reader."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from instructsam_model import FrameError
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.point_cloud2 import (
    make_instances_cloud,
    make_scene_cloud,
    make_target_cloud,
    read_points,
)
from tests.support.point_clouds import make_cloud, organized_points

CAMERA = CameraModel(np.array([[100.0, 0, 7.5], [0, 110.0, 5.5], [0, 0, 1]]), (16, 12))
HEADER = Header(frame_id='camera')
DATATYPES = {PointField.FLOAT32: 'f4', PointField.UINT32: 'u4', PointField.INT32: 'i4'}


def read(message: PointCloud2) -> NDArray[np.void]:
    """The points as a consumer reads them, by the fields that the message declares."""
    dtype = np.dtype(
        {
            'names': [field.name for field in message.fields],
            'formats': [DATATYPES[field.datatype] for field in message.fields],
            'offsets': [field.offset for field in message.fields],
            'itemsize': message.point_step,
        }
    )
    assert message.row_step == message.width * message.point_step
    assert len(message.data) == message.height * message.row_step
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


@pytest.fixture
def points_m() -> NDArray[np.float32]:
    """Points (H, W, 3) of a plane at 2 m, with one pixel without depth."""
    depth_m = np.full((12, 16), 2.0, dtype=np.float32)
    depth_m[3, 4] = np.nan
    return CAMERA.points_of_all(depth_m)


@pytest.fixture
def labels() -> NDArray[np.uint16]:
    labels = np.zeros((12, 16), dtype=np.uint16)
    labels[2:8, 3:10] = 1
    return labels


@pytest.fixture
def image_rgb() -> NDArray[np.uint8]:
    return np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)


def test_scene_cloud_is_organized_colored_and_labeled(
    points_m: NDArray[np.float32], image_rgb: NDArray[np.uint8], labels: NDArray[np.uint16]
):
    message = make_scene_cloud(points_m, image_rgb, labels, HEADER)
    assert (message.height, message.width, message.is_dense) == (12, 16, False)
    assert message.header == HEADER
    assert [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb', 'label']
    points = read(message)
    x, y, z = (float(points[name][2, 9]) for name in 'xyz')
    np.testing.assert_allclose((x, y, z), ((9 - 7.5) / 100 * 2, (2 - 5.5) / 110 * 2, 2), rtol=1e-6)
    assert np.isnan([points[name][3, 4] for name in 'xyz']).all()
    assert np.isfinite(points['z']).sum() == 12 * 16 - 1
    red, green, blue = image_rgb[2, 9].tolist()
    assert points['rgb'].view('u4')[2, 9] == red << 16 | green << 8 | blue
    np.testing.assert_array_equal(points['label'], labels)


def test_read_points_reads_a_scene_cloud(
    points_m: NDArray[np.float32], image_rgb: NDArray[np.uint8], labels: NDArray[np.uint16]
):
    is_known = np.isfinite(points_m[..., 2])
    position_m, color_rgb, read_labels = read_points(make_scene_cloud(points_m, image_rgb, labels, HEADER))
    np.testing.assert_array_equal(position_m[:, 2], points_m[..., 2][is_known])
    np.testing.assert_array_equal(color_rgb, image_rgb[is_known])
    np.testing.assert_array_equal(read_labels, labels[is_known])


def test_target_cloud_is_unorganized_and_dense(points_m: NDArray[np.float32], image_rgb: NDArray[np.uint8]):
    message = make_target_cloud(points_m[6, 3:10], image_rgb[6, 3:10], HEADER)
    assert (message.height, message.is_dense, message.header) == (1, True, HEADER)
    assert [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb']
    [points] = read(message)
    np.testing.assert_array_equal(np.stack([points[name] for name in 'xyz'], axis=1), points_m[6, 3:10])
    red, green, blue = image_rgb[6, 3].tolist()
    assert points['rgb'].view('u4')[0] == red << 16 | green << 8 | blue


def test_target_cloud_of_no_points_is_empty():
    message = make_target_cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), HEADER)
    assert (message.height, message.width, len(message.data)) == (1, 0, 0)
    assert len(read(message)[0]) == 0


def test_cloud_of_all_instances_has_the_instance_of_each_point(
    points_m: NDArray[np.float32], image_rgb: NDArray[np.uint8]
):
    numbers = np.array((1, 1, 1, 2, 2, 3, 3), dtype=np.int32)
    message = make_instances_cloud(points_m[6, 3:10], image_rgb[6, 3:10], numbers, HEADER)
    assert (message.height, message.width, message.is_dense, message.header) == (1, 7, True, HEADER)
    assert [field.name for field in message.fields] == ['x', 'y', 'z', 'rgb', 'instance']
    [points] = read(message)
    np.testing.assert_array_equal(points['instance'], numbers)
    np.testing.assert_array_equal(np.stack([points[name] for name in 'xyz'], axis=1), points_m[6, 3:10])


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('rgb', ['u4', 'f4'])
@pytest.mark.parametrize('row_padding', [0, 5])
def test_read_points_leaves_out_points_without_depth(rgb: str, order: str, row_padding: int):
    position_m, color_rgb, labels = read_points(make_cloud(organized_points(rgb, order), row_padding=row_padding))
    assert position_m.tolist() == [[x, 0.5, 2.0] for x in (0, 2, 3, 4, 5)]
    assert color_rgb.tolist() == [[0x10, 0x20, 0x30]] * 5
    assert labels.tolist() == [0, 0, 0, 0, 2]


def test_read_points_without_color_and_labels():
    points = np.ones((1, 4), np.dtype([(name, '<f8') for name in 'xyz']))
    position_m, color_rgb, labels = read_points(make_cloud(points))
    assert position_m.dtype == np.float32
    assert color_rgb.tolist() == [[128] * 3] * 4
    assert labels.tolist() == [0] * 4


def test_read_points_of_an_empty_cloud():
    position_m, color_rgb, labels = read_points(make_cloud(organized_points()[:, :0]))
    assert (position_m.shape, color_rgb.shape, labels.shape) == ((0, 3), (0, 3), (0,))


def test_malformed_cloud_raises_frame_error():
    message = make_cloud(organized_points())
    message.data = message.data[:-1]
    with pytest.raises(FrameError, match='data is 191 bytes; expected 2 rows of at least 3 points of 32 bytes'):
        read_points(message)
    message = make_cloud(organized_points())
    message.fields = message.fields[1:]
    with pytest.raises(FrameError, match='expected the fields x, y and z, got y, z, rgb, label'):
        read_points(message)
    message = make_cloud(organized_points())
    message.fields[3].datatype = 77
    with pytest.raises(FrameError, match='rgb has no data type of PointField'):
        read_points(message)
