"""Points of a PointCloud2 as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField

from instructsam_model import FrameError
from instructsam_ros.messages.point_cloud import read_points

TYPES = {'f4': PointField.FLOAT32, 'u4': PointField.UINT32, 'f8': PointField.FLOAT64}


def cloud(points: np.ndarray, *, row_padding: int = 0) -> PointCloud2:
    """A message of a structured array (H, W)."""
    assert points.dtype.fields is not None
    fields = [
        PointField(name=name, offset=offset, datatype=TYPES[dtype.str[1:]], count=1)
        for name, (dtype, offset, *_) in points.dtype.fields.items()
    ]
    message = PointCloud2(height=points.shape[0], width=points.shape[1], fields=fields)
    message.is_bigendian = points.dtype['x'].byteorder == '>'
    message.point_step = points.dtype.itemsize
    message.row_step = points.shape[1] * message.point_step + row_padding
    for row in points:
        message.data.frombytes(row.tobytes() + bytes(row_padding))
    return message


def organized(rgb: str = 'u4', order: str = '<') -> np.ndarray:
    """2 x 3 points with gaps between their fields; the second has no depth, the last is of instance 2."""
    dtype = np.dtype(
        {
            'names': ['x', 'y', 'z', 'rgb', 'label'],
            'formats': [f'{order}f4', f'{order}f4', f'{order}f4', f'{order}u4', f'{order}u4'],
            'offsets': [0, 4, 8, 16, 20],
            'itemsize': 32,
        }
    )
    points = np.zeros((2, 3), dtype)
    points['x'] = np.arange(6).reshape(2, 3)
    points['y'], points['z'], points['rgb'] = 0.5, 2.0, 0x102030
    points['z'][0, 1] = np.nan
    points['label'][1, 2] = 2
    if rgb == 'f4':
        points = points.view(np.dtype({**layout(points.dtype), 'formats': [f'{order}f4'] * 4 + [f'{order}u4']}))
    return points


def layout(dtype: np.dtype[Any]) -> dict[str, Any]:
    assert dtype.fields is not None
    offsets = [field[1] for field in dtype.fields.values()]
    return {'names': list(dtype.names or ()), 'offsets': offsets, 'itemsize': dtype.itemsize}


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('rgb', ['u4', 'f4'])
@pytest.mark.parametrize('row_padding', [0, 5])
def test_points_that_are_somewhere(rgb: str, order: str, row_padding: int):
    position_m, color_rgb, labels = read_points(cloud(organized(rgb, order), row_padding=row_padding))
    assert position_m.tolist() == [[x, 0.5, 2.0] for x in (0, 2, 3, 4, 5)]
    assert color_rgb.tolist() == [[0x10, 0x20, 0x30]] * 5
    assert labels.tolist() == [0, 0, 0, 0, 2]


def test_plain_points():
    points = np.ones((1, 4), np.dtype([(name, '<f8') for name in 'xyz']))
    position_m, color_rgb, labels = read_points(cloud(points))
    assert position_m.dtype == np.float32
    assert color_rgb.tolist() == [[128] * 3] * 4
    assert labels.tolist() == [0] * 4


def test_no_points():
    position_m, color_rgb, labels = read_points(cloud(organized()[:, :0]))
    assert (position_m.shape, color_rgb.shape, labels.shape) == ((0, 3), (0, 3), (0,))


def test_what_is_no_cloud():
    message = cloud(organized())
    message.data = message.data[:-1]
    with pytest.raises(FrameError, match='data is 191 bytes; expected 2 rows of at least 3 points of 32 bytes'):
        read_points(message)
    message = cloud(organized())
    message.fields = message.fields[1:]
    with pytest.raises(FrameError, match='expected the fields x, y and z, got y, z, rgb, label'):
        read_points(message)
    message = cloud(organized())
    message.fields[3].datatype = 77
    with pytest.raises(FrameError, match='rgb is of no type of PointField'):
        read_points(message)
