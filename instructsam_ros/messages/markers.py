"""Oriented boxes and labels as markers for RViz and Foxglove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from geometry_msgs.msg import Point, Pose, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_model.draw import color_rgb
from instructsam_ros.messages.located_object import LocatedObject
from instructsam_ros.messages.oriented_box import OrientedBox

OPACITY = 0.4
TEXT_M = 0.025
"""Height of a capital letter in meters."""


def make_markers(objects: Sequence[LocatedObject], others: Sequence[LocatedObject], header: Header) -> MarkerArray:
    """A box and a label for each object, in the colors of the overlay: all that a display has to show.

    Args:
        objects: of the newest result; the id of their markers is their number in ~/labels.
        others: of other instructions, which share the topic; their ids follow.
        header: of the marker that deletes the previous ones.
    """
    # DELETEALL removes the markers of the last message; in the same message as the new ones it causes no flicker.
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for each in objects:
        markers += _markers(each.number, each)
    first_free = max((each.number for each in objects), default=0) + 1
    for number, each in enumerate(others, start=first_free):
        markers += _markers(number, each)
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


def _markers(number: int, each: LocatedObject) -> Iterator[Marker]:
    box = each.box
    red, green, blue = (channel / 255 for channel in color_rgb(each.number - 1))
    yield make_box_marker(box, number, ColorRGBA(r=red, g=green, b=blue, a=OPACITY), each.header)
    x, y, z = (box.center_m + each.up * (float(box.size_m.max()) / 2 + TEXT_M)).tolist()
    yield Marker(
        header=each.header,
        ns='labels',
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        pose=Pose(position=Point(x=x, y=y, z=z)),
        scale=Vector3(z=TEXT_M),
        color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
        text=f'{each.label} {each.score:.2f}',
    )
