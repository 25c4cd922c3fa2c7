"""Objects with a 3D box, for tests of messages."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from instructsam_ros.messages.located_object import UP_IN_IMAGE, LocatedObject
from instructsam_ros.messages.oriented_box import OrientedBox

HEADER = Header(stamp=Time(sec=5, nanosec=7), frame_id='camera')
BOX = OrientedBox(np.array((0.1, 0.2, 0.9)), np.eye(3), np.array((0.3, 0.2, 0.1)))


def located(number: int, id_: str = '', label: str = 'red mug', *, x_m: float = 0.1) -> LocatedObject:
    """An object at a place."""
    box = OrientedBox(np.array((x_m, 0.2, 0.9)), BOX.rotation, BOX.size_m)
    return LocatedObject(number, id_ or f'object {number}', label, 1 - number / 10, box, HEADER, UP_IN_IMAGE)
