"""The upward direction for upright boxes from the largest plane in the depth image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.geometry import Matrix

SAMPLES = 3000
"""Number of points used to find the plane, spread evenly over the image."""
CANDIDATES = 200
"""Number of planes that are tried: the probability that one lies in a plane of a third of the points is 99.9 %."""
INLIER_TOLERANCE = 0.01
"""Distance of an inlier from the plane, as a fraction of its distance from the camera: depth noise of stereo at 1 m."""
MIN_INLIER_FRACTION = 0.2
REFINEMENTS = 3
SEED = 0
"""Fixed, so that the same image has the same plane."""


def find_plane(depth_m: NDArray[np.float32], camera: CameraModel) -> Matrix | None:
    """Return the pose (4, 4) of the optical frame in that of the largest plane (RANSAC, Fischler and Bolles, 1981).

    The plane is z = 0; z points to the camera's side, x to the right of the image as far as possible, and the camera is
    above the origin.

    Args:
        depth_m: float32 (H, W), meters along the optical axis; NaN where unknown.
        camera: of the depth.

    Returns:
        None if no plane has enough inliers.
    """
    points_m = _sample(depth_m, camera)
    if len(points_m) < 3:
        return None
    tolerance_m = INLIER_TOLERANCE * np.linalg.norm(points_m, axis=1)
    # Candidates: planes through three random points, as unit normals (CANDIDATES, 3) and offsets (CANDIDATES,).
    triples = points_m[np.random.default_rng(SEED).integers(len(points_m), size=(CANDIDATES, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= np.where(lengths > 0, lengths, np.inf)  # collinear points have no plane
    offsets_m = np.einsum('ij,ij->i', normals, triples[:, 0])
    # Inliers: (N, CANDIDATES); the candidate with the most wins.
    is_inlier = np.abs(points_m @ normals.T - offsets_m) < tolerance_m[:, None]
    is_inlier &= lengths[:, 0] > 0
    inliers = is_inlier[:, is_inlier.sum(axis=0).argmax()]
    if np.count_nonzero(inliers) < max(3, MIN_INLIER_FRACTION * len(points_m)):
        return None
    # Refine: least-squares plane of the inliers, then new inliers.
    for _ in range(REFINEMENTS):
        center_m = points_m[inliers].mean(axis=0)
        normal = np.linalg.svd(points_m[inliers] - center_m, full_matrices=False)[2][2]
        inliers = np.abs((points_m - center_m) @ normal) < tolerance_m
    return _camera_pose_on_plane(normal, center_m)


def _sample(depth_m: NDArray[np.float32], camera: CameraModel) -> NDArray[np.float64]:
    """Return points (N, 3) at a grid of pixels."""
    step = max(1, int(np.sqrt(depth_m.size / SAMPLES)))  # every step-th row and column
    rows, columns = np.nonzero(np.isfinite(depth_m[::step, ::step]))
    pixels = camera.with_rays((rows * step, columns * step))
    return camera.points_at(depth_m, pixels).astype(np.float64)


def _camera_pose_on_plane(normal: NDArray[np.float64], point_m: NDArray[np.float64]) -> Matrix:
    """Return the pose of the optical frame in the frame of the plane through a point."""
    z = normal if normal @ point_m < 0 else -normal  # so that the camera, at the origin, is above the plane
    # The image's right, or down if the plane faces right.
    right = np.array((1.0, 0, 0)) if abs(z[0]) < 0.9 else np.array((0, 1.0, 0))
    x = right - (right @ z) * z
    x /= np.linalg.norm(x)
    # Rows are the axes of the plane's frame in the optical frame: the rotation from optical to plane coordinates.
    pose = np.eye(4)
    pose[:3, :3] = x, np.cross(z, x), z
    pose[2, 3] = -(z @ point_m)
    return pose
