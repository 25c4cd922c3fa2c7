"""PointCloud2 messages: writer and reader, with the fields that PCL, RViz and grasp planners expect.

x, y, z   float32, meters, in the frame of the header
rgb       0xRRGGBB in the bits of a float32
label     uint32, 0 is background, k is instance k counted from 1
instance  int32, k, in the cloud of all instances
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from instructsam_model import FrameError

POINT = np.dtype([('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('rgb', 'u4')])
LABELED = np.dtype([*POINT.descr, ('label', 'u4')])
"""pcl::PointXYZRGBL without its padding; PCL finds fields by name."""

OF_INSTANCE = np.dtype([*POINT.descr, ('instance', 'i4')])
DATATYPES = {'label': PointField.UINT32, 'instance': PointField.INT32}
"""Data types of the fields that are no floats; PCL packs three color bytes into a field that it declares as one."""

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

Colors = NDArray[np.uint8]


def make_scene_cloud(
    points_m: NDArray[np.float32], image_rgb: Colors, labels: NDArray[np.uint16], header: Header
) -> PointCloud2:
    """All pixels as an organized cloud (x, y, z, rgb, label).

    Args:
        points_m: float32 (H, W, 3), meters; NaN where depth is unknown.
        image_rgb: uint8 (H, W, 3).
        labels: uint16 (H, W), 0 is background, k is instance k counted from 1.
        header: of the image.
    """
    points = np.empty(labels.shape, dtype=LABELED)
    _fill(points, points_m, image_rgb)
    points['label'] = labels
    return _cloud(points, header, is_dense=False)


def make_target_cloud(points_m: NDArray[np.float32], colors_rgb: Colors, header: Header) -> PointCloud2:
    """N points and their colors, both (N, 3), as an unorganized, dense cloud (x, y, z, rgb)."""
    points = np.empty((1, len(points_m)), dtype=POINT)
    _fill(points, points_m, colors_rgb)
    return _cloud(points, header, is_dense=True)


def make_instances_cloud(
    points_m: NDArray[np.float32], colors_rgb: Colors, numbers: NDArray[np.int32], header: Header
) -> PointCloud2:
    """N points and colors (N, 3) and instances (N,) as an unorganized, dense cloud (x, y, z, rgb, instance)."""
    points = np.empty((1, len(points_m)), dtype=OF_INSTANCE)
    _fill(points, points_m, colors_rgb)
    points['instance'] = numbers
    return _cloud(points, header, is_dense=True)


def read_points(message: PointCloud2) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32]]:
    """The points of a cloud that have finite coordinates.

    Args:
        message: a cloud with the fields x, y, z and optionally rgb (0xRRGGBB, as an integer or in the bits of a float)
            and label.

    Returns:
        position_m: float32 (N, 3), meters.
        color_rgb: uint8 (N, 3); gray without the field.
        labels: uint32 (N,), 0 without the field.

    Raises:
        FrameError: the cloud lacks a coordinate, or its fields are inconsistent.
    """
    cloud = _view(message)
    position_m = np.stack([cloud[name] for name in 'xyz'], axis=-1).astype(np.float32)
    # Pixels without depth are NaN in an organized cloud.
    is_valid = np.isfinite(position_m).all(axis=-1)
    # (N, 3): unpacked from 0xRRGGBB, or gray without the field.
    color_rgb = np.full((int(is_valid.sum()), 3), 128, dtype=np.uint8)
    if 'rgb' in (cloud.dtype.names or ()):
        packed = cloud['rgb'][is_valid].astype(np.uint32)
        color_rgb = (packed[:, None] >> np.array([16, 8, 0], dtype=np.uint32)).astype(np.uint8)
    has_labels = 'label' in (cloud.dtype.names or ())
    labels = cloud['label'][is_valid] if has_labels else np.zeros(len(color_rgb))
    return position_m[is_valid], color_rgb, labels.astype(np.uint32)


def _fill(points: NDArray[np.void], points_m: NDArray[np.float32], colors_rgb: Colors) -> None:
    for axis, name in enumerate('xyz'):
        points[name] = points_m[..., axis]
    # uint32 before the shift, since a uint8 would overflow.
    red, green, blue = (colors_rgb[..., channel].astype(np.uint32) for channel in range(3))
    points['rgb'] = red << 16 | green << 8 | blue


def _cloud(points: NDArray[np.void], header: Header, *, is_dense: bool) -> PointCloud2:
    height, width = points.shape
    dtype = points.dtype
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[_field(dtype, name) for name in dtype.names or ()],
        is_bigendian=sys.byteorder == 'big',
        point_step=dtype.itemsize,
        row_step=width * dtype.itemsize,
        is_dense=is_dense,
    )
    message.data.frombytes(points.view(np.uint8).data.cast('B') if points.size else b'')
    return message


def _field(dtype: np.dtype[np.void], name: str) -> PointField:
    assert dtype.fields is not None
    datatype = DATATYPES.get(name, PointField.FLOAT32)
    return PointField(name=name, offset=dtype.fields[name][1], datatype=datatype, count=1)


def _view(message: PointCloud2) -> NDArray[np.void]:
    """A view (H, W) of the points, as a structured array with the fields of the message."""
    names = [field.name for field in message.fields]
    missing = [name for name in 'xyz' if name not in names]
    if missing:
        raise FrameError(
            f'point cloud: expected the fields x, y and z, got {", ".join(names) or "none"}; check the topic'
        )
    unknown = [field.name for field in message.fields if field.datatype not in DTYPES]
    if unknown:
        raise FrameError(f'point cloud: {", ".join(unknown)} has no data type of PointField; check the publisher')
    expected = message.row_step * message.height
    if message.row_step < message.width * message.point_step or len(message.data) < expected:
        raise FrameError(
            f'point cloud: data is {len(message.data)} bytes; expected {message.height} rows of at least '
            f'{message.width} points of {message.point_step} bytes; check the publisher'
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
