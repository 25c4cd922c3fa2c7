"""Points as PointCloud2, with the fields that PCL, RViz and grasp planners look for."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from instructsam_ros.depth3d.measurement import Measurement
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.geometry import points_of_all

POINT = np.dtype([('x', 'f4'), ('y', 'f4'), ('z', 'f4'), ('rgb', 'u4')])
LABELED = np.dtype([*POINT.descr, ('label', 'u4')])
"""That of pcl::PointXYZRGBL, without its padding: PCL finds fields by their names."""

Picture = NDArray[np.uint8]


def make_scene(measurement: Measurement, image_rgb: Picture, labels: NDArray[np.uint16], header: Header) -> PointCloud2:
    """All pixels as an organized cloud x y z rgb label; x, y and z are NaN where depth is unknown.

    Args:
        measurement: with the depth of all pixels.
        image_rgb: uint8 (H, W, 3).
        labels: uint16 (H, W), 0 is background, k is instance k counted from 1.
        header: of the image.
    """
    points = np.empty(labels.shape, dtype=LABELED)
    _fill(points, points_of_all(measurement.depth_m, measurement.intrinsics), image_rgb)
    points['label'] = labels
    return _cloud(points, header, is_dense=False)


def make_target(surface: VisibleSurface | None, image_rgb: Picture, header: Header) -> PointCloud2:
    """The points of one instance, or none, as an unorganized cloud x y z rgb; all of them are finite."""
    points = np.empty((1, 0 if surface is None else len(surface.points_m)), dtype=POINT)
    if surface is not None:
        _fill(points, surface.points_m, image_rgb[surface.pixels])
    return _cloud(points, header, is_dense=True)


def _fill(points: NDArray[np.void], points_m: NDArray[np.float32], colors_rgb: Picture) -> None:
    for axis, name in enumerate('xyz'):
        points[name] = points_m[..., axis]
    red, green, blue = (colors_rgb[..., channel].astype(np.uint32) for channel in range(3))
    points['rgb'] = red << 16 | green << 8 | blue


def _cloud(points: NDArray[np.void], header: Header, *, is_dense: bool) -> PointCloud2:
    height, width = points.shape
    kind = points.dtype
    message = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[_field(kind, name) for name in kind.names or ()],
        is_bigendian=sys.byteorder == 'big',
        point_step=kind.itemsize,
        row_step=width * kind.itemsize,
        is_dense=is_dense,
    )
    message.data.frombytes(points.view(np.uint8).data.cast('B') if points.size else b'')
    return message


def _field(kind: np.dtype[np.void], name: str) -> PointField:
    assert kind.fields is not None
    # Colors are three bytes in what is called a float, since PCL began that way.
    datatype = PointField.UINT32 if name == 'label' else PointField.FLOAT32
    return PointField(name=name, offset=kind.fields[name][1], datatype=datatype, count=1)
