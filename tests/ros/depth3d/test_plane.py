"""`find_plane`: the largest plane in a depth image.

Covers depth3d/upright.py.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_ros.depth3d.oriented_box import fit_upright
from instructsam_ros.depth3d.upright import find_plane
from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.oriented_box import OrientedBox
from tests.support.casting import CAMERA, camera_pose, cast

SIZE_M = np.array((0.12, 0.06, 0.08))
BOX = OrientedBox(np.array((0.02, 0.01, 0.04)), cv2.Rodrigues(np.array((0, 0, 0.5)))[0], SIZE_M)


def damage(depth_m: NDArray[np.float32], noise_m: float, missing: float) -> NDArray[np.float32]:
    """Depth with noise, and a share of pixels that are not known."""
    generator = np.random.default_rng(1)
    damaged = depth_m + generator.normal(0, noise_m, depth_m.shape).astype(np.float32)
    damaged[generator.random(depth_m.shape) < missing] = np.nan
    return damaged


@pytest.mark.parametrize('elevation', [0.4, 0.8, 1.5], ids=['low', 'usual', 'from above'])
@pytest.mark.parametrize(('noise_m', 'missing'), [(0.0, 0.0), (0.003, 0.5)], ids=['clean', 'damaged'])
def test_camera_pose_above_the_table(elevation: float, noise_m: float, missing: float):
    pose = camera_pose(elevation)
    depth_m = damage(cast(pose, BOX)[0], noise_m, missing)
    found = find_plane(depth_m, CAMERA)
    assert found is not None
    assert found[2, 3] == pytest.approx(pose[2, 3], abs=0.003)  # its height
    np.testing.assert_allclose(found[2, :3], pose[2, :3], atol=0.01)  # which way is up
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found) == pytest.approx(1)
    assert found[0, 0] > 0.9  # x to the right


def test_upright_boxes_on_the_plane_as_with_a_known_pose():
    depth_m, mask = cast(camera_pose(), BOX)
    pose = find_plane(depth_m, CAMERA)
    assert pose is not None
    box = fit_upright(VisibleSurface(mask, depth_m, CAMERA), pose)
    assert box is not None
    np.testing.assert_allclose(box.moved(camera_pose()).center_m, BOX.center_m, atol=0.004)
    np.testing.assert_allclose(box.size_m, SIZE_M, atol=0.004)


def test_same_image_has_the_same_plane():
    depth_m = damage(cast(camera_pose(), BOX)[0], 0.005, 0.3)
    first, second = find_plane(depth_m, CAMERA), find_plane(depth_m.copy(), CAMERA)
    assert first is not None
    np.testing.assert_array_equal(first, second)


def test_no_plane_in_noise():
    generator = np.random.default_rng(0)
    assert find_plane(np.full((120, 160), np.nan, np.float32), CAMERA) is None
    assert find_plane(generator.uniform(0.3, 3, (120, 160)).astype(np.float32), CAMERA) is None
    few = np.full((120, 160), np.nan, np.float32)
    few[60, ::16] = 1.0  # in a line
    assert find_plane(few, CAMERA) is None
