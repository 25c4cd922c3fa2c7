"""Rays, points and projection of cameras with and without distortion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instructsam_ros.messages.camera_info import read_camera
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.lens_distortion import LensDistortion
from tests.support.calibrations import PUBLISHED, camera_matrix, make_info

PINHOLE = CameraModel(np.array([[100.0, 0, 7.5], [0, 110.0, 5.5], [0, 0, 1]]), (16, 12))
SKEWED = CameraModel(np.array([[100.0, 4.0, 7.5], [0, 110.0, 5.5], [0, 0, 1]]), (16, 12))
WIDE = CameraModel(
    np.array([[8.0, 0, 7.5], [0, 9.0, 5.5], [0, 0, 1]]), (16, 12), LensDistortion((-0.05, 0.01, 0.001, 0.002))
)
FISHEYE = CameraModel(
    np.array([[8.0, 0, 7.5], [0, 9.0, 5.5], [0, 0, 1]]), (16, 12), LensDistortion((0.01, 0, 0, 0), is_fisheye=True)
)
TURN = np.eye(4)
TURN[:3, :3], TURN[:3, 3] = cv2.Rodrigues(np.array((0.02, -0.1, 0.05)))[0], (0.05, 0.0, 0.0)
TURNED = CameraModel(WIDE.intrinsics, WIDE.size_wh, WIDE.distortion, TURN)
MODELS = {'pinhole': PINHOLE, 'skew': SKEWED, 'wide': WIDE, 'fisheye': FISHEYE, 'turned': TURNED}


@pytest.fixture
def depth_m() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 2.0, (12, 16)).astype(np.float32)


def test_points_of_a_pinhole_camera(depth_m: np.ndarray):
    found = PINHOLE.points_at(depth_m, (np.array([3]), np.array([4])))
    z = depth_m[3, 4]
    np.testing.assert_allclose(found, [[(4 - 7.5) / 100 * z, (3 - 5.5) / 110 * z, z]], rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize('camera', MODELS.values(), ids=MODELS)
def test_project_inverts_points(camera: CameraModel, depth_m: np.ndarray):
    rows, columns = np.nonzero(depth_m > 0)
    pixels = camera.project(camera.points_at(depth_m, (rows, columns)).astype(np.float64))
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=1), atol=1e-3)


@pytest.mark.parametrize('camera', MODELS.values(), ids=MODELS)
def test_points_of_all_are_those_of_each(camera: CameraModel, depth_m: np.ndarray):
    some = np.nonzero(depth_m > 1.0)
    first = camera.points_at(depth_m, some)
    everything = camera.points_of_all(depth_m)
    assert everything.dtype == np.float32
    np.testing.assert_allclose(everything[some], first, atol=1e-6)
    np.testing.assert_allclose(camera.points_at(depth_m, some), first, atol=1e-6)


@pytest.mark.parametrize('name', PUBLISHED)
def test_rays_of_published_calibrations_are_those_of_opencv(name: str):
    calibration = PUBLISHED[name]
    width, height = calibration['size_wh']
    camera = read_camera(make_info(calibration), is_rectified=False)
    rows, columns = (
        np.array(each) for each in ((height // 2, height // 4, height // 5), (width // 2, width // 4, width // 5))
    )
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)[:, None]
    undistort = cv2.fisheye.undistortPoints if calibration['model'] == 'equidistant' else cv2.undistortPoints
    expected = undistort(pixels, camera_matrix(*calibration['k']), np.array(calibration['d']))[:, 0]
    np.testing.assert_allclose(camera.rays((rows, columns)), expected, atol=2e-4)


def test_rays_are_computed_once_and_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch, depth_m: np.ndarray):
    computed, undistort = [], LensDistortion.undistort
    monkeypatch.setattr(LensDistortion, 'undistort', lambda lens, x: computed.append(len(x)) or undistort(lens, x))
    camera = CameraModel(WIDE.intrinsics, WIDE.size_wh, WIDE.distortion)
    camera.rays((np.array([1, 2]), np.array([1, 2])))
    camera.rays((np.array([1, 2, 3]), np.array([1, 2, 3])))
    camera.points_of_all(depth_m)
    camera.points_of_all(depth_m)
    assert computed == [2, 1, 12 * 16 - 3]


def test_pixels_beyond_the_model_of_the_lens_have_no_rays(depth_m: np.ndarray):
    camera = CameraModel(np.array([[6.0, 0, 7.5], [0, 6.0, 5.5], [0, 0, 1]]), (16, 12), LensDistortion((-0.3, 0, 0, 0)))
    corner_and_center = np.array([0, 6]), np.array([0, 8])
    np.testing.assert_array_equal(camera.with_rays(corner_and_center), [[6], [8]])
    assert np.isnan(camera.points_of_all(depth_m)[0, 0]).all()
    assert np.isfinite(camera.points_of_all(depth_m)[6, 8]).all()


def test_spacing_is_that_of_neighboring_pixels():
    assert PINHOLE.spacing_at(5, 7) == pytest.approx((100 * 110) ** -0.5, rel=0.001)
    assert WIDE.spacing_at(5, 7) == pytest.approx((8 * 9) ** -0.5, rel=0.01)
    assert np.isfinite(FISHEYE.spacing_at(11, 15))


def test_spacing_of_a_surface_that_faces_the_camera():
    ideal = CameraModel(
        camera_matrix(300.0, 319.5, 300.0, 239.5), (640, 480), LensDistortion((0.0,) * 4, is_fisheye=True)
    )
    angle = (600 - 319.5) / 300
    rays = ideal.rays((np.array([239, 239]), np.array([600, 601])))
    assert np.arctan(rays[0, 0]) == pytest.approx(angle, rel=1e-5)
    # On a sphere with radius 1 / cos(angle), pixels are 1 / 300 radian apart along the row, and less across it.
    along, across = 1 / 300 / np.cos(angle), np.sin(angle) / angle / 300 / np.cos(angle)
    assert ideal.spacing_at(239, 600) == pytest.approx((along * across) ** 0.5, rel=0.01)
