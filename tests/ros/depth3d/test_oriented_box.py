"""Boxes in 3D: of points that are known, and of a simulated table."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from instructsam_ros.depth3d.oriented_box import fit_principal, fit_upright, support_height
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.oriented_box import OrientedBox
from tests.support.casting import CAMERA, camera_pose, cast

SIZE_M = np.array((0.12, 0.06, 0.08))
YAW = 0.5


def upright_box(height_m: float = 0.0) -> OrientedBox:
    """A box on the floor, or so far above it towards the camera."""
    rotation = cv2.Rodrigues(np.array((0, 0, YAW)))[0]
    return OrientedBox(np.array((0.02, 0.01 - height_m, height_m + SIZE_M[2] / 2)), rotation, SIZE_M)


def fit(box: OrientedBox, floor_m: float = 0.0, noise_m: float = 0.0, grow: int = 0) -> OrientedBox:
    """The upright box of a box that is seen, in the frame whose z is up."""
    pose = camera_pose()
    depth_m, mask = cast(pose, box, floor_m)
    depth_m += np.random.default_rng(0).normal(0, noise_m, depth_m.shape).astype(np.float32)
    if grow:
        mask = cv2.dilate(mask.astype(np.uint8), np.ones((2 * grow + 1, 2 * grow + 1))).astype(np.bool_)
    found = fit_upright(VisibleSurface(mask, depth_m, CAMERA), pose)
    assert found is not None
    return found.moved(pose)


def test_upright_box_fits_the_object():
    found = fit(upright_box())
    np.testing.assert_allclose(found.center_m, upright_box().center_m, atol=0.004)
    np.testing.assert_allclose(found.size_m, SIZE_M, atol=0.004)
    np.testing.assert_allclose(found.rotation, upright_box().rotation, atol=0.03)


@pytest.mark.parametrize(('noise_m', 'grow'), [(0.002, 0), (0.0, 2), (0.002, 2)], ids=['noise', 'wide mask', 'both'])
def test_upright_box_tolerates_noise_and_wide_masks(noise_m: float, grow: int):
    found = fit(upright_box(), noise_m=noise_m, grow=grow)
    np.testing.assert_allclose(found.center_m, upright_box().center_m, atol=0.006)
    np.testing.assert_allclose(found.size_m, SIZE_M, atol=0.014)


def test_box_of_an_object_in_the_air_does_not_reach_the_table():
    found = fit(upright_box(height_m=0.2), floor_m=0.0)
    np.testing.assert_allclose(found.center_m[2], 0.2 + SIZE_M[2] / 2, atol=0.004)
    np.testing.assert_allclose(found.size_m[2], SIZE_M[2], atol=0.008)


def test_box_survives_a_change_of_frame():
    pose = camera_pose()
    there = upright_box().moved(pose)
    assert np.linalg.det(there.rotation) == pytest.approx(1.0)
    back = there.moved(np.linalg.inv(pose))
    np.testing.assert_allclose(back.center_m, upright_box().center_m, atol=1e-12)
    read = OrientedBox.read(there.make_pose(), there.make_size())
    np.testing.assert_allclose(read.rotation, there.rotation, atol=1e-9)
    np.testing.assert_allclose((read.center_m, read.size_m), (there.center_m, SIZE_M), atol=1e-9)


def test_principal_axes_of_a_face():
    face = OrientedBox(np.array((0.0, 0.0, 0.05)), np.eye(3), np.array((0.12, 0.06, 0.1)))
    pose = camera_pose(elevation=1.57)
    depth_m, mask = cast(pose, face)
    found = fit_principal(VisibleSurface(mask, depth_m, CAMERA))
    assert found is not None
    np.testing.assert_allclose(found.size_m[:2], (0.12, 0.06), atol=0.005)
    assert 0 < found.size_m[2] < 0.01  # depth sees the front alone, and a box is never flat
    np.testing.assert_allclose(found.rotation, np.diag((1, -1, -1)), atol=0.05)
    np.testing.assert_allclose(found.center_m[2], 0.6 - 0.1, atol=0.005)


@pytest.mark.parametrize(
    'kind', [fit_principal, lambda surface: fit_upright(surface, np.eye(4))], ids=['principal', 'upright']
)
def test_too_few_points_have_no_box(kind):
    mask = np.zeros((120, 160), dtype=np.bool_)
    mask[10:14, 10:14] = True
    assert kind(VisibleSurface(mask, np.ones(mask.shape, dtype=np.float32), CAMERA)) is None
    assert kind(VisibleSurface(mask, np.full(mask.shape, np.nan, dtype=np.float32), CAMERA)) is None


def test_support_height_is_the_most_frequent_height_at_the_foot():
    rng = np.random.default_rng(0)
    points_m = rng.uniform((-0.05, -0.03, 0.02), (0.05, 0.03, 0.1), (500, 3))
    foot_m, reach = rng.uniform(-0.05, 0.05, (300, 2)), np.array((0.02, 0.0))
    table_m = np.column_stack([foot_m + reach, rng.normal(0.0, 0.001, 300)])
    others_m = np.column_stack([foot_m, rng.uniform(0.04, 0.3, 300)])
    assert support_height(points_m, np.concatenate([table_m, others_m]), 0.03) == pytest.approx(0.0, abs=0.001)
    assert support_height(points_m, others_m, 0.03) is None
    assert support_height(points_m, table_m[:5], 0.03) is None
    assert support_height(points_m, table_m + np.array((0.2, 0, 0)), 0.03) is None, 'not at its foot'


@pytest.fixture(scope='module')
def views() -> Iterator[list]:
    """Simulated tables, and what is known about them."""
    pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')
    from instructsam_training.tabletop.scene.sampling import sample_scene
    from tests.support.rendering import open_renderer

    with open_renderer() as renderer:
        yield [(scene, renderer.render(scene)) for scene in map(sample_scene, range(1, 33, 2))]


def test_boxes_of_simulated_objects_are_accurate_to_centimeters(views: list):
    centers_m, sizes = [], []
    for scene, view in views:
        bodies = {body.label: body for body in scene.bodies}
        camera = CameraModel(view.intrinsics, (320, 240))
        depth_m = np.where(view.depth_m > 0, view.depth_m, np.float32(np.nan))
        for thing in view.objects:
            x1, y1, x2, y2 = thing.box_xyxy
            is_cut = x1 == 0 or y1 == 0 or x2 == 320 or y2 == 240
            if thing.visible < 0.9 or is_cut or thing.on is not None or thing.inside is not None:
                continue
            box = fit_upright(VisibleSurface(view.labels == thing.label, depth_m, camera), view.camera_pose)
            assert box is not None, thing
            found, body = box.moved(view.camera_pose), bodies[thing.label]
            extent_m = np.abs(body.rotation) @ body.size_m
            level_m = body.size_m if not body.tilt else np.array(body.size_m)[[2, 1, 0]]
            true_m = np.array((*sorted(level_m[:2], reverse=True), extent_m[2]))
            centers_m.append(np.linalg.norm(found.center_m - body.position_m))
            sizes.append(np.abs(found.size_m - true_m) / true_m)
    print(f'{len(sizes)} things; median and 90 % of center errors (m) and size errors (shares):')
    print(np.quantile(centers_m, (0.5, 0.9)), np.quantile(sizes, (0.5, 0.9), 0))
    assert len(sizes) > 30
    assert np.median(centers_m) <= 0.015
    assert (np.median(sizes, axis=0) <= 0.2).all()
    assert np.quantile(centers_m, 0.9) <= 0.03
