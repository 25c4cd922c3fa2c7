"""`SceneView` and `SceneObject`: a rendered image with ground truth, the only input of the instruction sampler.

Frames are those of `scene`. Left, right, front and behind in instructions are relative to the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BACKGROUND = 0
"""Label of table, floor and walls."""


@dataclass(frozen=True)
class SceneObject:
    """Ground truth of one object in one image.

    Attributes:
        label: its value in `SceneView.labels`, 1 and up, constant while the scene moves.
        category: key of the catalog, 'mug'.
        color: key of the catalog, 'red'.
        material: key of the catalog, 'metal'.
        volume_m3: volume of its bounding box when upright; compared by "largest" and "smallest".
        height_m: height of the same box; compared by "tallest" and "shortest".
        position_m: center of its bounding box in the table frame.
        position_camera_m: the same in the camera frame.
        on: label of the object it stands on; None on the table.
        inside: label of its container; None if it is in no container.
        box_xyxy: tight box of its visible pixels, x2 and y2 exclusive.
        area_px: number of its visible pixels.
        visible: fraction of its pixels that is visible, 0..1; pixels beyond the image border count as hidden.
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
class SceneView:
    """One rendered image of a scene with its ground truth.

    Attributes:
        image_rgb: uint8 [H, W, 3].
        depth_m: float32 [H, W], along the optical axis; 0 without a surface.
        labels: uint16 [H, W], `SceneObject.label` of each pixel, or `BACKGROUND`.
        intrinsics: float64 [3, 3].
        camera_pose: float64 [4, 4], the camera frame in the table frame.
        objects: objects with at least one visible pixel, ordered by label.
    """

    image_rgb: npt.NDArray[np.uint8]
    depth_m: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    intrinsics: npt.NDArray[np.float64]
    camera_pose: npt.NDArray[np.float64]
    objects: tuple[SceneObject, ...]
