"""Views of a simulated table as another camera takes them: a pinhole image, sampled where the rays of its pixels end.

The rays are those of OpenCV's undistortPoints, and are checked by projecting them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo

from instructsam_training.tabletop.scene.ground_truth import SceneView


@dataclass(frozen=True, eq=False)
class LensView:
    """What a camera sees.

    Attributes:
        depth_m: float32 (H, W), along its optical axis; NaN beyond the pinhole image.
        labels: uint16 (H, W), 0 beyond it.
        pose: (4, 4), of the camera in the frame of the table.
    """

    depth_m: np.ndarray
    labels: np.ndarray
    pose: np.ndarray


def take(view: SceneView, info: CameraInfo, toward: tuple[float, float], *, is_rectified: bool = False) -> LensView:
    """Return the view of a camera at the same place, turned so that the middle of the view is at `toward`.

    Args:
        view: pinhole image of high resolution.
        info: calibration of the camera.
        toward: column and row in its image of the full resolution.
        is_rectified: whether the image is.
    """
    k = np.reshape(info.p, (3, 4))[:, :3] if is_rectified else np.reshape(info.k, (3, 3))
    d = np.zeros(5) if is_rectified or not len(info.d) else np.array(info.d)
    is_fisheye = info.distortion_model == 'equidistant'
    turn = _turn(_rays(np.array([toward], dtype=np.float64), k, d, is_fisheye)[0])
    pixels, size_wh = _pixels(info)
    rays = _rays(pixels, k, d, is_fisheye)
    # To the frame of the pinhole camera, whose z looks at the middle, and to its pixels.
    seen = np.column_stack([rays, np.ones(len(rays))]) @ turn.T
    with np.errstate(all='ignore'):
        sources = seen @ view.intrinsics.T / seen[:, 2:]
        columns, rows = np.rint(sources[:, 0]), np.rint(sources[:, 1])
        height, width = view.labels.shape
        is_seen = (seen[:, 2] > 0) & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    found = rows[is_seen].astype(int), columns[is_seen].astype(int)
    depth_m, labels = np.full(len(rays), np.nan, dtype=np.float32), np.zeros(len(rays), dtype=np.uint16)
    labels[is_seen] = view.labels[found]
    # Depth is that of the same point along the other axis: z of a ray is 1 in its own frame.
    depth_m[is_seen] = view.depth_m[found] / seen[is_seen, 2]
    depth_m[~(depth_m > 0)] = np.nan
    pose = view.camera_pose.copy()
    pose[:3, :3] = view.camera_pose[:3, :3] @ turn
    return LensView(depth_m.reshape(size_wh[::-1]), labels.reshape(size_wh[::-1]), pose)


def _pixels(info: CameraInfo) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the places (N, 2) in the full resolution that the pixels of an image show, and the size of the image.

    A binned pixel shows the middle of those that it joins.
    """
    binning, roi = np.array((max(info.binning_x, 1), max(info.binning_y, 1))), info.roi
    width, height = (roi.width or info.width) // binning[0], (roi.height or info.height) // binning[1]
    rows, columns = np.divmod(np.arange(width * height), width)
    places = np.stack([columns, rows], axis=1) * binning + (binning - 1) / 2
    return places + np.array((roi.x_offset, roi.y_offset)), (int(width), int(height))


def _rays(pixels: np.ndarray, k: np.ndarray, d: np.ndarray, is_fisheye: bool) -> np.ndarray:
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-6)
    points = pixels[:, None].astype(np.float64)
    if is_fisheye:
        return cv2.fisheye.undistortPoints(points, k, d)[:, 0]
    rays = cv2.undistortPoints(points, k, d, criteria=criteria)[:, 0]
    some = slice(None, None, max(1, len(rays) // 500))
    homogeneous = np.column_stack([rays[some], np.ones(len(rays[some]))])
    again = cv2.projectPoints(homogeneous, np.zeros(3), np.zeros(3), k, d)[0][:, 0]
    assert np.abs(again - pixels[some]).max() < 0.01
    return rays


def _turn(ray: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) that takes a ray (x / z, y / z) to the z axis."""
    axis = np.array((ray[1], -ray[0], 0.0))
    length = np.linalg.norm(axis)
    return cv2.Rodrigues(axis / length * np.arctan(length))[0] if length else np.eye(3)
