"""Distortion models against those of OpenCV, and names of models."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instructsam_ros.messages.lens_distortion import CalibrationError, LensDistortion
from tests.support.calibrations import PUBLISHED, REALSENSE_T265

THIN_PRISM = (0.1, -0.05, 0.01, -0.02, 0.03, 0.1, 0.02, 0.01, 0.01, 0.02, 0.03, 0.01)
POLYNOMIALS = {
    '4': (0.1, -0.05, 0.01, -0.02),
    '5': PUBLISHED['Blackfly']['d'],
    '8': PUBLISHED['Azure Kinect']['d'],
    'thin prism': THIN_PRISM,
    'tilt': (*THIN_PRISM, 0.1, -0.2),
}


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.7, 0.7, (200, 2))


@pytest.mark.parametrize('d', POLYNOMIALS.values(), ids=POLYNOMIALS)
def test_polynomial_is_that_of_opencv(d: tuple[float, ...], points: np.ndarray):
    lens = LensDistortion.read('rational_polynomial', d)
    assert lens is not None
    expected, _ = cv2.projectPoints(
        np.column_stack([points, np.ones(200)]), np.zeros(3), np.zeros(3), np.eye(3), np.array(d)
    )
    np.testing.assert_allclose(lens.distort(points), expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(lens.undistort(lens.distort(points)), points, atol=1e-5)


def test_fisheye_is_that_of_opencv(points: np.ndarray):
    lens = LensDistortion.read('equidistant', REALSENSE_T265['d'])
    assert lens is not None
    points = 3 * points  # up to 70 degrees
    d = np.array(REALSENSE_T265['d'])
    expected, _ = cv2.fisheye.projectPoints(
        np.column_stack([points, np.ones(200)])[:, None], np.zeros(3), np.zeros(3), np.eye(3), d
    )
    np.testing.assert_allclose(lens.distort(points), expected[:, 0], atol=1e-9)
    np.testing.assert_allclose(lens.undistort(lens.distort(points)), points, atol=1e-4)


def test_ideal_fisheye_has_coefficients_0():
    lens = LensDistortion.read('fisheye', (0.0, 0, 0, 0))
    assert lens is not None
    np.testing.assert_allclose(lens.distort(np.array([[1.0, 0]])), [[np.pi / 4, 0]])


def test_no_such_point_is_nan():
    barrel = LensDistortion((-0.3, 0.0, 0.0, 0.0))  # reaches 0.703 at most
    found = barrel.undistort(np.array([[0.5, 0.0], [1.5, 0.0]]))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    fisheye = LensDistortion((0.0, 0.0, 0.0, 0.0), is_fisheye=True)  # theta of 1.7 is behind the camera
    assert np.isnan(fisheye.undistort(np.array([[1.7, 0.0]]))).all()
    assert barrel.undistort(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize('name', ['plumb_bob', 'rational_polynomial', 'Brown-Conrady', 'radtan'])
@pytest.mark.parametrize('d', [(), (0.0,) * 5, (0.0,) * 3])
def test_polynomials_without_coefficients_are_no_distortion(name: str, d: tuple[float, ...]):
    assert LensDistortion.read(name, d) is None


@pytest.mark.parametrize('name', ['', 'none', 'inverse_brown_conrady', 'Modified Brown Conrady'])
def test_names_that_need_zeros(name: str):
    assert LensDistortion.read(name, ()) is None
    assert LensDistortion.read(name, (0.0,) * 5) is None
    with pytest.raises(CalibrationError, match=f"distortion_model '{name}' with 5 coefficients; expected plumb_bob"):
        LensDistortion.read(name, (0.1, 0, 0, 0, 0))


@pytest.mark.parametrize('name', ['equidistant', 'fisheye', 'kannala_brandt4', 'Kannala Brandt4'])
def test_zeros_that_drivers_append_are_dropped(name: str):
    assert LensDistortion.read(name, (*REALSENSE_T265['d'], 0.0)) == LensDistortion(REALSENSE_T265['d'], True)


@pytest.mark.parametrize(
    ('name', 'd', 'said'),
    [
        (
            'plumb_bob',
            (0.1, 0.2, 0.3),
            "3 coefficients in d for distortion_model 'plumb_bob'; expected 4, 5, 8, 12, 14",
        ),
        ('plumb_bob', (0.1,) * 6, '6 coefficients'),
        ('equidistant', (0.1,) * 5, "5 coefficients in d for distortion_model 'equidistant'; expected 4;"),
        ('plumb_bob', (0.1, np.nan, 0, 0, 0), 'nan.*expected finite numbers'),
        ('double_sphere', (), "distortion_model 'double_sphere' with 0 coefficients"),
    ],
)
def test_invalid_distortion(name: str, d: tuple[float, ...], said: str):
    with pytest.raises(CalibrationError, match=said):
        LensDistortion.read(name, d)
