"""`LocatedObject`: an instance with a 3D box, as markers and planning scenes need it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from instructsam_ros.messages.oriented_box import OrientedBox

UP_IN_IMAGE = np.array((0.0, -1.0, 0.0))
"""Direction of the upper edge of the image in the optical frame."""


@dataclass(frozen=True, eq=False)
class LocatedObject:
    """An instance that has a 3D box.

    Attributes:
        number: its number in ~/labels, counted from 1.
        id: unique among the objects of the node; not empty.
        label: noun phrase.
        score: 0 to 1.
        box: in the frame of the header.
        header: stamp of the image, frame of the box.
        up: float64 (3,), unit vector in that frame that points to the upper edge of the image.
    """

    number: int
    id: str
    label: str
    score: float
    box: OrientedBox
    header: Header
    up: NDArray[np.float64]
