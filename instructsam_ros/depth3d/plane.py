"""The largest plane that depth shows, such as a table or a floor: which way is up where no transform says so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.geometry import Matrix, Pixels, points_at

SAMPLES = 3000
"""Points that are looked at, spread evenly over the picture."""
CANDIDATES = 200
"""Planes that are tried: one of them lies in a plane of a third of the points with a probability of 99.9 %."""
NEAR = 0.01
"""Points belong to a plane up to this share of their distance from the camera: at 1 m, stereo cameras step so far."""
LEAST = 0.2
"""Share of the points that a plane has, at least."""
REFINEMENTS = 3
SEED = 0
"""The same picture has the same plane."""


def find_plane(depth_m: NDArray[np.float32], intrinsics: Matrix) -> Matrix | None:
    """The pose (4, 4) of the optical frame in that of the largest plane (RANSAC, Fischler and Bolles, 1981).

    The plane is z = 0, z points to the side where the camera is, and x as far as it can to the right of the picture;
    the camera is above the origin.

    Args:
        depth_m: float32 (H, W), meters along the optical axis; NaN where unknown.
        intrinsics: (3, 3), pixels.

    Returns:
        None where no plane has enough of the points.
    """
    points_m = _sample(depth_m, intrinsics)
    if len(points_m) < 3:
        return None
    near_m = NEAR * np.linalg.norm(points_m, axis=1)
    triples = points_m[np.random.default_rng(SEED).integers(len(points_m), size=(CANDIDATES, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= np.where(lengths > 0, lengths, np.inf)  # points in a line have no plane
    offsets_m = np.einsum('ij,ij->i', normals, triples[:, 0])
    is_near = np.abs(points_m @ normals.T - offsets_m) < near_m[:, None]
    is_near &= lengths[:, 0] > 0
    belongs = is_near[:, is_near.sum(axis=0).argmax()]
    if np.count_nonzero(belongs) < max(3, LEAST * len(points_m)):
        return None
    for _ in range(REFINEMENTS):
        center_m = points_m[belongs].mean(axis=0)
        normal = np.linalg.svd(points_m[belongs] - center_m, full_matrices=False)[2][2]
        belongs = np.abs((points_m - center_m) @ normal) < near_m
    return _frame_on(normal, center_m)


def _sample(depth_m: NDArray[np.float32], intrinsics: Matrix) -> NDArray[np.float64]:
    """Points (N, 3) of a grid of pixels."""
    step = max(1, int(np.sqrt(depth_m.size / SAMPLES)))
    rows, columns = np.nonzero(np.isfinite(depth_m[::step, ::step]))
    pixels: Pixels = rows * step, columns * step
    return points_at(depth_m, pixels, intrinsics).astype(np.float64)


def _frame_on(normal: NDArray[np.float64], point_m: NDArray[np.float64]) -> Matrix:
    """The pose of the optical frame in that of the plane through a point."""
    z = normal if normal @ point_m < 0 else -normal  # the camera, at the origin, is above
    right = np.array((1.0, 0, 0)) if abs(z[0]) < 0.9 else np.array((0, 1.0, 0))
    x = right - (right @ z) * z
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = x, np.cross(z, x), z
    pose[2, 3] = -(z @ point_m)
    return pose
