"""Share of a box that the camera has seen: of boxes on a floor, and of simulated tables."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instructsam_ros.depth3d.completeness import completeness
from instructsam_ros.depth3d.oriented_box import fit_upright
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.oriented_box import OrientedBox
from tests.support.casting import CAMERA, camera_pose, cast

SIZE_M = np.array((0.12, 0.08, 0.1))
DISTANCE_M = 0.8


def box(yaw: float = 0.6, x_m: float = 0.0, y_m: float = 0.0, size_m: np.ndarray = SIZE_M) -> OrientedBox:
    rotation = cv2.Rodrigues(np.array((0, 0, yaw)))[0]
    return OrientedBox(np.array((x_m, y_m, size_m[2] / 2)), rotation, size_m)


def seen(pose: np.ndarray, depth_m: np.ndarray, mask: np.ndarray) -> float:
    surface = VisibleSurface(mask, depth_m, CAMERA)
    found = fit_upright(surface, pose)
    assert found is not None
    return completeness(surface, found)


def test_three_faces_of_a_box_are_half_of_its_surface():
    pose = camera_pose(elevation=0.7, distance_m=DISTANCE_M)
    assert seen(pose, *cast(pose, box())) == pytest.approx(0.5, abs=0.04)


def test_one_face_seen_from_above():
    pose = camera_pose(elevation=1.57, distance_m=DISTANCE_M)
    x, y, z = SIZE_M
    assert seen(pose, *cast(pose, box())) == pytest.approx(x * y / (2 * (x * y + y * z + z * x)), abs=0.05)


@pytest.mark.parametrize('noise_m', [0.0, 0.003])
def test_object_behind_another_is_less_complete(noise_m: float):
    pose = camera_pose(elevation=0.6, distance_m=DISTANCE_M)
    depth_m, mask = cast(pose, box())
    depth_m += np.random.default_rng(0).normal(0, noise_m, depth_m.shape).astype(np.float32)
    free = seen(pose, depth_m, mask)
    front_m, front = cast(pose, box(0.0, 0.05, -0.13, np.array((0.12, 0.03, 0.15))))
    both_m = np.where(front, front_m, depth_m)
    assert 0.2 < np.count_nonzero(mask & front) / np.count_nonzero(mask) < 0.7
    hidden = seen(pose, both_m, mask & ~front)
    assert hidden < 0.85 * free
    only_both_m = np.where(mask | front, both_m, np.nan).astype(np.float32)
    surface = VisibleSurface(mask & ~front, only_both_m, CAMERA)
    found = box().moved(np.linalg.inv(pose))
    assert completeness(surface, found) < 0.6 * completeness(VisibleSurface(mask & ~front, both_m, CAMERA), found)
    in_front = seen(pose, np.where(front, front_m, depth_m), front)
    assert in_front > 0.4, 'what is behind an object hides nothing of it'


def test_wide_masks_and_flying_pixels_change_little():
    pose = camera_pose(elevation=0.7, distance_m=DISTANCE_M)
    depth_m, mask = cast(pose, box())
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)
    smooth_m = cv2.blur(depth_m, (3, 3))
    assert seen(pose, smooth_m, wide) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize('shift', ['left', 'right', 'up', 'down'])
def test_object_at_the_border_of_the_image_is_less_complete(shift: str):
    pose = camera_pose(elevation=0.7, distance_m=DISTANCE_M)
    depth_m, mask = cast(pose, box())
    rows, columns = np.nonzero(mask)
    row, column = int(np.median(rows)), int(np.median(columns))
    window = {
        'left': np.s_[:, column:],
        'right': np.s_[:, :column],
        'up': np.s_[row:, :],
        'down': np.s_[:row, :],
    }[shift]
    top, left = window[0].start or 0, window[1].start or 0
    depth_m, mask = depth_m[window].copy(), mask[window].copy()
    camera = CameraModel(CAMERA.intrinsics - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]), mask.shape[::-1])
    surface = VisibleSurface(mask, depth_m, camera)
    found = fit_upright(surface, pose)
    assert found is not None
    assert completeness(surface, found) < 0.42


def test_unknown_depth_around_an_object_says_nothing():
    pose = camera_pose(elevation=0.7, distance_m=DISTANCE_M)
    depth_m, mask = cast(pose, box())
    depth_m[~mask] = np.nan
    surface = VisibleSurface(mask, depth_m, CAMERA)
    assert completeness(surface, box().moved(np.linalg.inv(pose))) == pytest.approx(0.5, abs=0.04)


def test_ball_seen_from_above_shows_no_side():
    columns, rows = np.meshgrid(np.arange(160) - 79.5, np.arange(120) - 59.5)
    radius2 = (columns / 40) ** 2 + (rows / 40) ** 2
    mask = radius2 < 1
    height_m = 0.05 * np.sqrt(np.clip(1 - radius2, 0, 1))
    surface = VisibleSurface(mask, np.where(mask, 0.4 - height_m, 0.45).astype(np.float32), CAMERA)
    ball = OrientedBox(np.array((0, 0, 0.4)), np.eye(3), np.full(3, 0.1))
    assert completeness(surface, ball) == pytest.approx(np.pi / 4 / 6, abs=0.03)


def test_nothing_seen():
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[40:60, 40:60] = True
    surface = VisibleSurface(mask, np.full(mask.shape, np.nan, dtype=np.float32), CAMERA)
    assert completeness(surface, box()) == 0


def test_simulated_objects():
    """Those that are wholly visible are more complete than those that are half hidden or cut by the border."""
    pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')
    from instructsam_training.tabletop.scene.sampling import sample_scene
    from tests.support.rendering import open_renderer

    whole, partial = [], []
    with open_renderer((640, 480)) as renderer:
        for seed in range(1, 33, 2):
            view = renderer.render(sample_scene(seed))
            camera = CameraModel(view.intrinsics, (640, 480))
            depth_m = np.where(view.depth_m > 0, view.depth_m, np.float32(np.nan))
            for thing in view.objects:
                surface = VisibleSurface(view.labels == thing.label, depth_m, camera)
                found = fit_upright(surface, view.camera_pose)
                if found is None or thing.inside is not None:
                    continue
                kind = whole if thing.visible > 0.98 else partial if thing.visible < 0.6 else []
                kind.append(completeness(surface, found))
    print(f'\n{len(whole)} whole and {len(partial)} others; 10, 50 and 90 %:')
    print(np.quantile(whole, (0.1, 0.5, 0.9)), np.quantile(partial, (0.1, 0.5, 0.9)))
    assert len(whole) > 30
    assert len(partial) >= 5
    assert 0.3 < np.median(whole) < 0.5
    assert np.median(partial) < 0.7 * np.median(whole)
    assert max(whole) <= 0.55
