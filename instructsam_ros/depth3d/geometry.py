"""`Geometry3D`: surfaces and boxes of the instances of one result.

Notation: H, W are the rows and columns of the image, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from instructsam_model import Segmentation
from instructsam_ros.depth3d.completeness import completeness
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.geometry import Matrix
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
        camera_pose: (4, 4), of the optical frame in the frame of the outputs; None if they are the same.
    """

    depth_m: NDArray[np.float32]
    camera: CameraModel
    surfaces: tuple[VisibleSurface, ...]
    boxes: tuple[OrientedBox | None, ...]
    camera_pose: Matrix | None = None

    @cached_property
    def output_boxes(self) -> tuple[OrientedBox | None, ...]:
        """The boxes in the frame of the outputs."""
        pose = self.camera_pose
        return self.boxes if pose is None else tuple(box and box.moved(pose) for box in self.boxes)

    @cached_property
    def completeness(self) -> tuple[float, ...]:
        """Share of the surface of each box that the camera has seen; 0 for those without a box."""
        return tuple(
            completeness(surface, box) if box is not None else 0.0
            for surface, box in zip(self.surfaces, self.boxes, strict=True)
        )

    @property
    def camera_m(self) -> NDArray[np.float64]:
        """Position of the camera in the frame of the outputs, float64 (3,)."""
        return np.zeros(3) if self.camera_pose is None else self.camera_pose[:3, 3]

    def move(self, points_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points (..., 3) of the optical frame in the frame of the outputs."""
        pose = self.camera_pose
        if pose is None:
            return points_m
        rotation, offset_m = pose[:3, :3].astype(np.float32), pose[:3, 3].astype(np.float32)
        return np.asarray(points_m @ rotation.T + offset_m, dtype=np.float32)

    def rotate(self, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a direction (3,) of the optical frame in the frame of the outputs."""
        return direction if self.camera_pose is None else np.asarray(self.camera_pose[:3, :3] @ direction)


def locate(segmentation: Segmentation, depth_m: NDArray[np.float32], camera: CameraModel, fit: BoxFitter) -> Geometry3D:
    """Return the surface and the box of each instance; arguments are those of `Geometry3D`."""
    surfaces = tuple(VisibleSurface(instance.mask, depth_m, camera) for instance in segmentation.instances)
    return Geometry3D(depth_m, camera, surfaces, tuple(fit(surface) for surface in surfaces))


def fit_no_box(surface: VisibleSurface) -> None:
    """Return None: the box fitter for when the upward direction is unknown."""
