"""`Measurement`: what depth says about one answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsam_model import Segmentation
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.depth3d.visible_surface import VisibleSurface

Fit = Callable[[VisibleSurface], OrientedBox | None]
"""Makes the box of an instance."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What depth says about one answer.

    Attributes:
        depth_m: float32 (H, W), along the optical axis; NaN where unknown or out of range.
        intrinsics: float64 (3, 3), pixels.
        surfaces: of the instances, in their order.
        boxes: of the instances, in the optical frame; None for those without.
    """

    depth_m: NDArray[np.float32]
    intrinsics: NDArray[np.float64]
    surfaces: tuple[VisibleSurface, ...]
    boxes: tuple[OrientedBox | None, ...]


def measure(
    segmentation: Segmentation, depth_m: NDArray[np.float32], intrinsics: NDArray[np.float64], fit: Fit
) -> Measurement:
    """Find the surface of each instance and fit its box."""
    surfaces = tuple(VisibleSurface(instance.mask, depth_m, intrinsics) for instance in segmentation.instances)
    return Measurement(depth_m, intrinsics, surfaces, tuple(fit(surface) for surface in surfaces))


def no_box(surface: VisibleSurface) -> None:
    """None: for when nobody knows which way is up."""
