"""The points of a PointCloud2 as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField

from instructsam_model import FrameError

DTYPES = {
    PointField.INT8: 'i1',
    PointField.UINT8: 'u1',
    PointField.INT16: 'i2',
    PointField.UINT16: 'u2',
    PointField.INT32: 'i4',
    PointField.UINT32: 'u4',
    PointField.FLOAT32: 'f4',
    PointField.FLOAT64: 'f8',
}


def read_points(message: PointCloud2) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32]]:
    """The points that are somewhere; an organized cloud has NaN where no depth is known.

    Args:
        message: a cloud with the fields x, y, z, and perhaps rgb (0xRRGGBB, may be in the bits of a float) and label.

    Returns:
        position_m: float32 (N, 3), meters.
        color_rgb: uint8 (N, 3); gray without the field.
        labels: uint32 (N,), 0 without the field.

    Raises:
        FrameError: the cloud lacks a coordinate, or contradicts itself.
    """
    cloud = _view(message)
    position_m = np.stack([cloud[name] for name in 'xyz'], axis=-1).astype(np.float32)
    seen = np.isfinite(position_m).all(axis=-1)
    color_rgb = np.full((int(seen.sum()), 3), 128, dtype=np.uint8)
    if 'rgb' in (cloud.dtype.names or ()):
        packed = cloud['rgb'][seen].astype(np.uint32)
        color_rgb = (packed[:, None] >> np.array([16, 8, 0], dtype=np.uint32)).astype(np.uint8)
    has_labels = 'label' in (cloud.dtype.names or ())
    labels = cloud['label'][seen] if has_labels else np.zeros(len(color_rgb))
    return position_m[seen], color_rgb, labels.astype(np.uint32)


def _view(message: PointCloud2) -> NDArray[np.void]:
    """The points as they lie in the message: (H, W), by the names of their fields."""
    names = [field.name for field in message.fields]
    missing = [name for name in 'xyz' if name not in names]
    if missing:
        raise FrameError(
            f'point cloud: expected the fields x, y and z, got {", ".join(names) or "none"}; check what the topic is'
        )
    unknown = [field.name for field in message.fields if field.datatype not in DTYPES]
    if unknown:
        raise FrameError(f'point cloud: {", ".join(unknown)} is of no type of PointField; check who publishes it')
    expected = message.row_step * message.height
    if message.row_step < message.width * message.point_step or len(message.data) < expected:
        raise FrameError(
            f'point cloud: data is {len(message.data)} bytes; expected {message.height} rows of at least '
            f'{message.width} points of {message.point_step} bytes; check who publishes it'
        )
    order = '>' if message.is_bigendian else '<'
    dtype = np.dtype(
        {
            'names': names,
            # PCL packs colors into the bits of a float (pcl_conversions).
            'formats': [order + ('u4' if field.name == 'rgb' else DTYPES[field.datatype]) for field in message.fields],
            'offsets': [field.offset for field in message.fields],
            'itemsize': message.point_step,
        }
    )
    buffer = np.frombuffer(message.data, dtype=np.uint8)
    strides = (message.row_step, message.point_step)
    return np.ndarray((message.height, message.width), dtype, buffer, 0, strides)
