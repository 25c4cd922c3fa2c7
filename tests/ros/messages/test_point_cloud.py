"""Points of a PointCloud2 as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model import FrameError
from instructsam_ros.messages.point_cloud import read_points
from tests.support.point_clouds import make_cloud, organized_points


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('rgb', ['u4', 'f4'])
@pytest.mark.parametrize('row_padding', [0, 5])
def test_points_that_are_somewhere(rgb: str, order: str, row_padding: int):
    position_m, color_rgb, labels = read_points(make_cloud(organized_points(rgb, order), row_padding=row_padding))
    assert position_m.tolist() == [[x, 0.5, 2.0] for x in (0, 2, 3, 4, 5)]
    assert color_rgb.tolist() == [[0x10, 0x20, 0x30]] * 5
    assert labels.tolist() == [0, 0, 0, 0, 2]


def test_plain_points():
    points = np.ones((1, 4), np.dtype([(name, '<f8') for name in 'xyz']))
    position_m, color_rgb, labels = read_points(make_cloud(points))
    assert position_m.dtype == np.float32
    assert color_rgb.tolist() == [[128] * 3] * 4
    assert labels.tolist() == [0] * 4


def test_no_points():
    position_m, color_rgb, labels = read_points(make_cloud(organized_points()[:, :0]))
    assert (position_m.shape, color_rgb.shape, labels.shape) == ((0, 3), (0, 3), (0,))


def test_what_is_no_cloud():
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
    with pytest.raises(FrameError, match='rgb is of no type of PointField'):
        read_points(message)
