"""`CameraModel`: rays and points of the pixels of one camera, and the pixels of points.

Notation: H, W are the rows and columns of the image; N pixels or points.

    depth_m      float32 (H, W), meters along the axis of the sensor; 0 or NaN where unknown
    points_m     (N, 3) or (H, W, 3), meters, in the frame of the camera: x right, y down, z forward (REP-103)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instructsam_ros.messages.geometry import Matrix, Pixels
from instructsam_ros.messages.lens_distortion import LensDistortion


@dataclass(frozen=True, eq=False)
class CameraModel:
    """A camera whose rays meet in one point; the center of its first pixel is at (0, 0).

    Rays of a lens with distortion are computed once for each pixel that is needed.

    Attributes:
        intrinsics: float64 (3, 3), from normalized coordinates x / z, y / z to pixels of the image as it is: those of
            a window or of binned pixels.
        size_wh: of the image.
        distortion: of the lens; None for none, or for a rectified image.
        pose: float64 (4, 4), of the sensor in the frame of the camera.
    """

    intrinsics: Matrix
    size_wh: tuple[int, int]
    distortion: LensDistortion | None = None
    pose: Matrix = field(default_factory=lambda: np.eye(4))

    def rays(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return x / z and y / z, (N, 2), of pixels in the frame of the sensor; NaN where the lens model has none."""
        if self._is_separable:
            return self.rays_through(*pixels).astype(np.float32)
        rays, is_known = self._computed
        is_missing = ~is_known[pixels]
        if is_missing.any():
            rows, columns = pixels[0][is_missing], pixels[1][is_missing]
            rays[rows, columns] = self.rays_through(rows, columns)
            is_known[rows, columns] = True
        return np.asarray(rays[pixels])

    def rays_through(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        """Return the same as `rays`, also of places between pixels and outside the image; nothing is kept."""
        (a, b, c), (_, e, f), _ = self._inverse
        normalized = np.stack([a * columns + b * rows + c, e * rows + f], axis=1)
        return self.distortion.undistort(normalized) if self.distortion is not None else normalized

    def points_at(self, depth_m: NDArray[np.float32], pixels: Pixels) -> NDArray[np.float32]:
        """Return the points (N, 3) of pixels."""
        z = depth_m[pixels]
        points_m = np.empty((len(z), 3), dtype=np.float32)
        np.multiply(self.rays(pixels), z[:, None], out=points_m[:, :2])
        points_m[:, 2] = z
        return self._in_frame(points_m)

    def points_of_all(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the points (H, W, 3) of all pixels; NaN where there is no ray."""
        # Written in place: a stack of three (H, W) arrays would copy all of them once more.
        points_m = np.empty((*depth_m.shape, 3), dtype=np.float32)
        x, y = self._rays_of_all()
        np.multiply(depth_m, x, out=points_m[..., 0])
        np.multiply(depth_m, y, out=points_m[..., 1])
        points_m[..., 2] = depth_m
        if self.distortion is not None:
            points_m[self._without_rays] = np.nan
        return self._in_frame(points_m)

    def project(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return x and y (N, 2) of points (N, 3) before the camera, in pixels; they may be outside the image."""
        inverse = np.linalg.inv(self.pose)
        seen_m = points_m @ inverse[:3, :3].T + inverse[:3, 3]
        normalized = seen_m[:, :2] / seen_m[:, 2:]
        if self.distortion is not None:
            normalized = self.distortion.distort(normalized)
        return np.asarray(normalized @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2])

    def with_rays(self, pixels: Pixels) -> Pixels:
        """Return those of some pixels that have rays: all, unless the model of the lens ends inside the image."""
        if self.distortion is None:
            return pixels
        has_ray = np.isfinite(self.rays(pixels)).all(axis=1)
        return pixels[0][has_ray], pixels[1][has_ray]

    def spacing_at(self, row: int, column: int) -> float:
        """Return the distance of the points of neighboring pixels on a surface that faces the camera, at a depth of 1.

        In the middle of the image, it is 1 / focal length.
        """
        rows, columns = np.array((0, 0, 1)) + row, np.array((0, 1, 0)) + column
        here, right, below = self.rays_through(rows, columns)
        (a, b), (c, d) = right - here, below - here
        # The parallelogram of these rays lies in the plane z = 1, at an angle t to the axis. A surface that faces the
        # camera there is turned by t, so that it is smaller by cos(t).
        cosine = (1 + here @ here) ** -0.5
        return float(np.sqrt(abs(a * d - b * c) * cosine))

    @property
    def _is_separable(self) -> bool:
        """Whether x / z depends on the column alone and y / z on the row alone."""
        return self.distortion is None and self.intrinsics[0, 1] == 0

    @cached_property
    def _inverse(self) -> Matrix:
        return np.asarray(np.linalg.inv(self.intrinsics), dtype=np.float64)

    @cached_property
    def _computed(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Rays (H, W, 2) and where they have been computed (H, W)."""
        width, height = self.size_wh
        return np.empty((height, width, 2), dtype=np.float32), np.zeros((height, width), dtype=np.bool_)

    @cached_property
    def _without_rays(self) -> Pixels:
        """The pixels that the model of the lens does not reach."""
        rows, columns = np.nonzero(np.isnan(self._rays_of_all()[0]))
        return rows, columns

    def _rays_of_all(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return x / z and y / z of all pixels, which broadcast to (H, W)."""
        width, height = self.size_wh
        if self._is_separable:
            x = self.rays_through(np.zeros(width), np.arange(width))[:, 0]
            y = self.rays_through(np.arange(height), np.zeros(height))[:, 1]
            return x.astype(np.float32), y.astype(np.float32)[:, None]
        rays, is_known = self._computed
        if not is_known.all():
            rows, columns = np.nonzero(~is_known)
            self.rays((rows, columns))
        return rays[..., 0], rays[..., 1]

    def _in_frame(self, points_m: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._is_in_frame:
            return points_m
        pose = self.pose.astype(np.float32)
        return np.asarray(points_m @ pose[:3, :3].T + pose[:3, 3])

    @cached_property
    def _is_in_frame(self) -> bool:
        return np.array_equal(self.pose, np.eye(4))
