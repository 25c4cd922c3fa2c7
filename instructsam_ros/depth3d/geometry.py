"""`Geometry3D`: surfaces and boxes of the instances of one result.

Notation: H, W are the rows and columns of the image, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsam_model import Segmentation
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.oriented_box import OrientedBox

BoxFitter = Callable[[VisibleSurface], OrientedBox | None]
"""Fits the box of an instance; returns None if there are too few points."""


@dataclass(frozen=True, eq=False)
class Geometry3D:
    """Where the instances of one result are in 3D.

    Attributes:
        depth_m: float32 (H, W), along the optical axis; NaN where unknown or out of range.
        camera: of the depth.
        surfaces: of the instances, in their order.
        boxes: of the instances, in the optical frame; None for those without.
    """

    depth_m: NDArray[np.float32]
    camera: CameraModel
    surfaces: tuple[VisibleSurface, ...]
    boxes: tuple[OrientedBox | None, ...]


def locate(segmentation: Segmentation, depth_m: NDArray[np.float32], camera: CameraModel, fit: BoxFitter) -> Geometry3D:
    """Return the surface and the box of each instance; arguments are those of `Geometry3D`."""
    surfaces = tuple(VisibleSurface(instance.mask, depth_m, camera) for instance in segmentation.instances)
    return Geometry3D(depth_m, camera, surfaces, tuple(fit(surface) for surface in surfaces))


def fit_no_box(surface: VisibleSurface) -> None:
    """Return None: the box fitter for when the upward direction is unknown."""
