"""Oriented boxes and labels as markers for RViz and Foxglove."""

from __future__ import annotations

from collections.abc import Iterator

from geometry_msgs.msg import Point, Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_model import Segmentation
from instructsam_model.draw import color_rgb
from instructsam_ros.depth3d.geometry import Geometry3D
from instructsam_ros.depth3d.oriented_box import OrientedBox

OPACITY = 0.4
TEXT_M = 0.025
"""Height of a capital letter in meters."""


def make_markers(segmentation: Segmentation, measurement: Geometry3D | None, header: Header) -> MarkerArray:
    """A box and a label for each instance that has a 3D box, in the colors of the overlay."""
    # DELETEALL removes the markers of the last message; in the same message as the new ones it causes no flicker.
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    if measurement is not None:
        for number, (instance, box) in enumerate(zip(segmentation.instances, measurement.boxes, strict=True), start=1):
            if box is not None:
                text = f'{instance.label or segmentation.instruction.text} {instance.score:.2f}'
                markers += _markers(number, box, text, header)
    return MarkerArray(markers=markers)


def make_box_marker(box: OrientedBox, number: int, color: ColorRGBA, header: Header) -> Marker:
    """A cube marker of an oriented box."""
    return Marker(
        header=header,
        ns='boxes',
        id=number,
        type=Marker.CUBE,
        pose=box.make_pose(),
        scale=box.make_size(),
        color=color,
    )


def _markers(number: int, box: OrientedBox, text: str, header: Header) -> Iterator[Marker]:
    red, green, blue = (channel / 255 for channel in color_rgb(number - 1))
    yield make_box_marker(box, number, ColorRGBA(r=red, g=green, b=blue, a=OPACITY), header)
    x, y, z = box.center_m.tolist()
    above = Point(x=x, y=y - float(box.size_m.max()) / 2 - TEXT_M, z=z)  # y points down
    yield Marker(
        header=header,
        ns='labels',
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        pose=Pose(position=above),
        scale=Vector3(z=TEXT_M),
        color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        text=text,
    )
