"""`View` and `Thing`: what the simulator knows of one picture, and all that the grammar of instructions sees of it.

Frames: `table` has its origin in the middle of the table's top, x to the right and y away from the camera at azimuth
0, z up; `camera` is the optical frame of REP 103: x right, y down, z forward. Left, right, front and behind in
instructions are the camera's, as a person beside the robot would say them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BACKGROUND = 0
"""Label of what is no thing: table, floor, walls."""


@dataclass(frozen=True)
class Thing:
    """One object of a scene, as it is and as one camera sees it.

    Attributes:
        label: its value in `View.labels`, 1 and up, constant while the scene moves.
        category: name of the catalog, 'mug'.
        color: name of the catalog, 'red'.
        material: name of the catalog, 'metal'.
        volume_m3: of its bounding box upright; what "largest" and "smallest" compare.
        height_m: of the same box; what "tallest" and "shortest" compare.
        position_m: center of its bounding box in the table's frame.
        position_camera_m: the same in the camera's frame.
        on: label of the thing it stands on; None on the table.
        inside: label of the thing that contains it; None in none.
        box_xyxy: tight box of its visible pixels, x2 and y2 exclusive.
        area_px: visible pixels.
        visible: share of its pixels that nothing hides, 0..1; what the border of the picture cuts off counts as hidden.
    """

    label: int
    category: str
    color: str
    material: str
    volume_m3: float
    height_m: float
    position_m: tuple[float, float, float]
    position_camera_m: tuple[float, float, float]
    on: int | None
    inside: int | None
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    visible: float


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a scene with everything that is known about it.

    Attributes:
        image_rgb: uint8 [H, W, 3].
        depth_m: float32 [H, W], along the optical axis; 0 where nothing was hit.
        labels: uint16 [H, W], `Thing.label` of each pixel, else `BACKGROUND`.
        intrinsics: float64 [3, 3].
        camera_pose: float64 [4, 4], the camera's frame in the table's.
        things: those of which at least one pixel is visible, by label.
    """

    image_rgb: npt.NDArray[np.uint8]
    depth_m: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    intrinsics: npt.NDArray[np.float64]
    camera_pose: npt.NDArray[np.float64]
    things: tuple[Thing, ...]
