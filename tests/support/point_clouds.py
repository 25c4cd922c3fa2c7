"""PointCloud2 messages made by hand, with gaps, padding and either byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

TYPES = {'f4': PointField.FLOAT32, 'u4': PointField.UINT32, 'f8': PointField.FLOAT64}


def make_cloud(points: np.ndarray, *, row_padding: int = 0) -> PointCloud2:
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


def organized_points(rgb: str = 'u4', order: str = '<') -> np.ndarray:
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
        points = points.view(np.dtype({**_layout(points.dtype), 'formats': [f'{order}f4'] * 4 + [f'{order}u4']}))
    return points


def _layout(dtype: np.dtype[Any]) -> dict[str, Any]:
    assert dtype.fields is not None
    offsets = [field[1] for field in dtype.fields.values()]
    return {'names': list(dtype.names or ()), 'offsets': offsets, 'itemsize': dtype.itemsize}
