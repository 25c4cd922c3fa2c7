"""Which pixels of a mask show the thing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_ros.depth3d.visible_surface import VisibleSurface
from instructsam_ros.messages.camera_model import CameraModel

CAMERA = CameraModel(np.array([[300.0, 0, 39.5], [0, 300.0, 29.5], [0, 0, 1]]), (80, 60))
NEAR_M, FAR_M = 0.5, 0.8


@pytest.fixture
def depth_m() -> NDArray[np.float32]:
    """A thing of 20 x 30 pixels before a wall."""
    depth_m = np.full((60, 80), FAR_M, dtype=np.float32)
    depth_m[20:40, 25:55] = NEAR_M
    return depth_m


def surface_of(mask: tuple[slice, slice], depth_m: NDArray[np.float32]) -> VisibleSurface:
    pixels = np.zeros(depth_m.shape, dtype=np.bool_)
    pixels[mask] = True
    return VisibleSurface(pixels, depth_m, CAMERA)


def test_points_are_of_pixels_inside_the_outline(depth_m: NDArray[np.float32]):
    surface = surface_of((slice(20, 40), slice(25, 55)), depth_m)
    assert len(surface.points_m) == 18 * 28
    np.testing.assert_allclose(surface.points_m[:, 2], NEAR_M)
    left_m, right_m = ((column - 39.5) / 300 * NEAR_M for column in (26, 53))
    np.testing.assert_allclose(surface.points_m[:, 0].min(), left_m, rtol=1e-5)
    np.testing.assert_allclose(surface.points_m[:, 0].max(), right_m, rtol=1e-5)
    assert surface.point_spacing_m == pytest.approx(NEAR_M / 300, rel=1e-4)


def test_flying_pixels_are_removed_and_the_edge_is_kept(depth_m: NDArray[np.float32]):
    flying = np.linspace(NEAR_M + 0.03, FAR_M - 0.03, 20, dtype=np.float32)
    depth_m[20:40, 55] = depth_m[20:40, 56] = flying
    surface = surface_of((slice(20, 40), slice(25, 58)), depth_m)
    assert surface.points_m[:, 2].max() == np.float32(NEAR_M)
    assert surface.pixels[1].max() == 54


def test_background_in_the_mask_is_removed(depth_m: NDArray[np.float32]):
    surface = surface_of((slice(17, 43), slice(22, 58)), depth_m)
    assert surface.points_m[:, 2].max() == np.float32(NEAR_M)
    assert len(surface.points_m) == 20 * 30


def test_object_split_by_an_occluder_is_kept(depth_m: NDArray[np.float32]):
    depth_m[:, 38:41] = 0.3
    mask = np.zeros(depth_m.shape, dtype=np.bool_)
    mask[20:40, 25:38] = mask[20:40, 41:55] = True
    columns = VisibleSurface(mask, depth_m, CAMERA).pixels[1]
    assert (columns.min(), columns.max()) == (26, 53)


def test_thin_object_keeps_its_outline(depth_m: NDArray[np.float32]):
    assert len(surface_of((slice(30, 32), slice(25, 55)), depth_m).points_m) == 60


def test_unknown_depth_has_no_points(depth_m: NDArray[np.float32]):
    depth_m[25:35, 30:35] = np.nan
    surface = surface_of((slice(20, 40), slice(25, 55)), depth_m)
    assert np.isfinite(surface.points_m).all()
    assert 300 < len(surface.points_m) < 18 * 28 - 50
    nothing = surface_of((slice(26, 34), slice(31, 34)), depth_m)
    assert nothing.points_m.shape == (0, 3)


def test_mask_in_the_corner_of_the_image(depth_m: NDArray[np.float32]):
    surface = surface_of((slice(0, 10), slice(0, 12)), depth_m)
    assert (surface.pixels[0].min(), surface.pixels[0].max()) == (1, 8)
    assert len(surface.surrounding_points_m) > 0


def test_surrounding_points_are_not_of_the_object(depth_m: NDArray[np.float32]):
    surrounding_m = surface_of((slice(20, 40), slice(25, 55)), depth_m).surrounding_points_m
    assert len(surrounding_m) > 100
    np.testing.assert_allclose(surrounding_m[:, 2], FAR_M)
