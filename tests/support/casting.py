"""Depth images of a box on a level floor, made by ray casting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.oriented_box import OrientedBox

CAMERA = CameraModel(np.array([[300.0, 0, 79.5], [0, 300.0, 59.5], [0, 0, 1]]), (160, 120))


def camera_pose(elevation: float = 0.8, distance_m: float = 0.6) -> NDArray[np.float64]:
    """The pose (4, 4) of a camera that looks at the origin of a frame whose z axis points up."""
    forward = np.array((0.0, np.cos(elevation), -np.sin(elevation)))
    right = np.array((1.0, 0.0, 0.0))
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(forward, right), forward
    pose[:3, 3] = -distance_m * forward
    return pose


def cast(pose: NDArray[np.float64], box: OrientedBox | None, floor_m: float = 0.0) -> tuple[NDArray, NDArray]:
    """Depth and mask, each (H, W), of a box on a level floor, from the intersections of the rays of the pixels."""
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    rays = np.stack([(columns - 79.5) / 300, (rows - 59.5) / 300, np.ones_like(rows)], axis=-1) @ pose[:3, :3].T
    floor = (floor_m - pose[2, 3]) / rays[..., 2]
    if box is None:
        return floor.astype(np.float32), np.zeros(floor.shape, dtype=np.bool_)
    start, along = (pose[:3, 3] - box.center_m) @ box.rotation, rays @ box.rotation
    first, second = ((side * box.size_m / 2 - start) / along for side in (-1, 1))
    enter, leave = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
    mask = enter < leave
    return np.where(mask, enter, floor).astype(np.float32), mask
