"""`CameraModel`: rays and points of the pixels of one camera, and the pixels of points.

Notation: H, W are the rows and columns of the image; N pixels or points.

    depth_m      float32 (H, W), meters along the axis of the sensor; 0 or NaN where unknown
    points_m     (N, 3) or (H, W, 3), meters, in the frame of the camera: x right, y down, z forward (REP-103)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

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
        if self.distortion is None:
            return np.asarray(self._normalized(*pixels), dtype=np.float32)
        rays, is_known = self._computed
        self._compute(pixels, ~is_known[pixels])
        return np.asarray(rays[pixels])

    def points_at(self, depth_m: NDArray[np.float32], pixels: Pixels) -> NDArray[np.float32]:
        """Return the points (N, 3) of pixels."""
        z = depth_m[pixels]
        points_m = np.empty((len(z), 3), dtype=np.float32)
        np.multiply(self.rays(pixels), z[:, None], out=points_m[:, :2])
        points_m[:, 2] = z
        return self._in_frame(points_m)

    def points_of_all(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the points (H, W, 3) of all pixels."""
        # Written in place: a stack of three (H, W) arrays would copy all of them once more.
        points_m = np.empty((*depth_m.shape, 3), dtype=np.float32)
        if self._has_separable_rays:
            height, width = depth_m.shape
            x = self._normalized(np.zeros(width, dtype=np.intp), np.arange(width))[:, 0]
            y = self._normalized(np.arange(height), np.zeros(height, dtype=np.intp))[:, 1]
            np.multiply(depth_m, x.astype(np.float32), out=points_m[..., 0])
            np.multiply(depth_m, y.astype(np.float32)[:, None], out=points_m[..., 1])
        else:
            rays = self._rays_of_all()
            np.multiply(depth_m, rays[..., 0], out=points_m[..., 0])
            np.multiply(depth_m, rays[..., 1], out=points_m[..., 1])
        points_m[..., 2] = depth_m
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
        """Return the distance of neighboring pixels on a plane with z = 1.

        It is 1 / focal length of a pinhole camera, and larger near the corners of a fisheye lens.
        """
        if self.distortion is None:
            return float(np.sqrt(self._inverse[0, 0] * self._inverse[1, 1]))
        rows, columns = np.array((0, 0, 1)) + row, np.array((0, 1, 0)) + column
        here, right, below = self.distortion.undistort(self._normalized(rows, columns))
        (a, b), (c, d) = right - here, below - here
        return float(np.sqrt(abs(a * d - b * c)))

    @property
    def _has_separable_rays(self) -> bool:
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

    def _normalized(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        inverse = self._inverse
        return np.stack(
            [
                inverse[0, 0] * columns + inverse[0, 1] * rows + inverse[0, 2],
                inverse[1, 1] * rows + inverse[1, 2],
            ],
            axis=1,
        )

    def _compute(self, pixels: Pixels, is_missing: NDArray[np.bool_]) -> None:
        if self.distortion is None or not is_missing.any():
            return
        rays, is_known = self._computed
        missing = pixels[0][is_missing], pixels[1][is_missing]
        rays[missing] = self.distortion.undistort(self._normalized(*missing))
        is_known[missing] = True

    def _rays_of_all(self) -> NDArray[np.float32]:
        if self.distortion is None:  # skew
            width, height = self.size_wh
            rows, columns = np.divmod(np.arange(width * height), width)
            return self.rays((rows, columns)).reshape(height, width, 2)
        rays, is_known = self._computed
        rows, columns = np.nonzero(~is_known)
        self._compute((rows, columns), np.ones(len(rows), dtype=np.bool_))
        return rays

    def _in_frame(self, points_m: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._is_in_frame:
            return points_m
        pose = self.pose.astype(np.float32)
        return np.asarray(points_m @ pose[:3, :3].T + pose[:3, 3])

    @cached_property
    def _is_in_frame(self) -> bool:
        return np.array_equal(self.pose, np.eye(4))
