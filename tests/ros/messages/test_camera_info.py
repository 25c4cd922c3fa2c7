"""CameraInfo messages: cameras of raw and of rectified images, and messages that are not valid."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import (
    SizeMismatchError,
    image_size,
    make_camera_info,
    read_camera,
    rectification_error_px,
)
from instructsam_ros.messages.lens_distortion import CalibrationError
from tests.support.calibrations import (
    AZURE_KINECT,
    BLACKFLY,
    REALSENSE_D405,
    REALSENSE_T265,
    WEBCAM,
    camera_matrix,
    make_info,
    window,
)

INTRINSICS = np.array([[100.0, 0, 7.5], [0, 110.0, 5.5], [0, 0, 1]])
TURN = cv2.Rodrigues(np.array((0.01, -0.03, 0.02)))[0]


def test_camera_info_describes_rectified_images():
    message = make_camera_info(INTRINSICS, (16, 12), Header(frame_id='camera'))
    assert (message.width, message.height, message.header.frame_id) == (16, 12, 'camera')
    for is_rectified in (True, False):
        camera = read_camera(message, is_rectified=is_rectified)
        np.testing.assert_array_equal(camera.intrinsics, INTRINSICS)
        np.testing.assert_array_equal(camera.pose, np.eye(4))
        assert (camera.size_wh, camera.distortion) == ((16, 12), None)
    assert rectification_error_px(message) == pytest.approx(0, abs=1e-4)


def test_rectified_images_have_p_and_raw_ones_k_and_d():
    info = make_info(WEBCAM)
    rectified, raw = read_camera(info, is_rectified=True), read_camera(info, is_rectified=False)
    np.testing.assert_array_equal(rectified.intrinsics, camera_matrix(*WEBCAM['p']))
    assert rectified.distortion is None
    np.testing.assert_array_equal(raw.intrinsics, camera_matrix(*WEBCAM['k']))
    assert raw.distortion is not None
    assert raw.distortion.coefficients == WEBCAM['d']
    assert 5 < rectification_error_px(info) < 20
    assert rectification_error_px(make_info(REALSENSE_T265)) == 848  # the corners look to the side


def test_points_of_raw_images_are_in_the_rectified_frame():
    """As in image_geometry, where rectifyPoint and projectPixelTo3dRay follow each other."""
    info = make_info(WEBCAM, r=TURN.ravel())
    pixel = np.array([[[500.0, 100.0]]])
    d, k, p = np.array(WEBCAM['d']), camera_matrix(*WEBCAM['k']), camera_matrix(*WEBCAM['p'])
    ((u, v),) = cv2.undistortPoints(pixel, k, d, R=TURN, P=p)[0]
    expected = (u - p[0, 2]) / p[0, 0], (v - p[1, 2]) / p[1, 1]
    x, y, z = read_camera(info, is_rectified=False).points_at(
        np.ones((480, 640), np.float32), (np.array([100]), np.array([500]))
    )[0]
    np.testing.assert_allclose((x / z, y / z), expected, atol=1e-4)
    assert z == pytest.approx((TURN @ (*cv2.undistortPoints(pixel, k, d)[0, 0], 1))[2], abs=1e-4)


def test_second_camera_of_a_stereo_pair_is_beside_the_origin():
    k = camera_matrix(*WEBCAM['k'])
    right = np.column_stack([k, (-580.46715 * 0.12, 0, 0)])
    camera = read_camera(make_info(WEBCAM, d=[], p=right.ravel()), is_rectified=True)
    point = np.array([[0.1, 0.05, 0.8]])
    u, v, w = right @ (*point[0], 1)
    np.testing.assert_allclose(camera.project(point), [[u / w, v / w]])
    np.testing.assert_allclose(camera.pose[:3, 3], (0.12, 0, 0))


@pytest.mark.parametrize('is_rectified', [True, False])
def test_binning_and_roi_as_image_geometry(is_rectified: bool):
    info = make_info(WEBCAM, binning_x=2, binning_y=4, roi=window(100, 40, 400, 320, do_rectify=True))
    assert image_size(info) == (200, 80)
    camera = read_camera(info, is_rectified=is_rectified)
    assert camera.size_wh == (200, 80)
    fx, cx, fy, cy = WEBCAM['p' if is_rectified else 'k']
    expected = camera_matrix(fx / 2, (cx - 100) / 2, fy / 4, (cy - 40) / 4)
    np.testing.assert_allclose(camera.intrinsics, expected)


def test_rectified_window_if_the_image_has_its_size():
    info = make_info(BLACKFLY, roi=window(200, 100, 800, 600, do_rectify=True))
    k, d = camera_matrix(*BLACKFLY['k']), np.array(BLACKFLY['d'])
    corners = np.array([(200.0, 100), (1000, 100), (1000, 700), (200, 700)])[:, None]
    corners = cv2.undistortPoints(corners, k, d, P=k)[:, 0]
    (left, top), (right, bottom) = np.ceil(corners.min(axis=0)), np.floor(corners.max(axis=0))
    size_wh = int(right - left), int(bottom - top)
    assert size_wh[0] > 900
    camera = read_camera(info, is_rectified=True, size_wh=size_wh)
    np.testing.assert_allclose(camera.intrinsics[:2, 2], k[:2, 2] - (left, top), atol=1)
    for changes in ({'is_rectified': False}, {'is_rectified': True, 'size_wh': (800, 600)}):
        camera = read_camera(info, **changes)
        assert camera.size_wh == (800, 600)
        np.testing.assert_allclose(camera.intrinsics[:2, 2], k[:2, 2] - (200, 100))
    with pytest.raises(SizeMismatchError):
        read_camera(info, is_rectified=False, size_wh=size_wh)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({}, 'camera_info is for 640x480, the image is 320x240; expected that of the same camera and resolution'),
        (
            {'binning_x': 4, 'roi': window(100, 0, 400, 480)},
            r'camera_info is for 100x480 \(full resolution 640x480, roi 400x480, binning 4x1\), the image is 320x240;',
        ),
    ],
    ids=['whole', 'window'],
)
def test_image_of_another_size(changes: dict[str, Any], said: str):
    with pytest.raises(SizeMismatchError, match=said):
        read_camera(make_info(WEBCAM, **changes), is_rectified=False, size_wh=(320, 240))


def test_translation_in_p_with_binning():
    p = np.column_stack([camera_matrix(*WEBCAM['p']), (-58.0, 0, 0)])
    whole, binned = (read_camera(make_info(WEBCAM, p=p.ravel(), binning_x=n), is_rectified=True) for n in (0, 2))
    np.testing.assert_allclose(binned.pose, whole.pose)


@pytest.mark.parametrize('changes', [{}, {'binning_x': 1, 'binning_y': 1}, {'roi': window(0, 0, 640, 480)}])
def test_whole_image(changes: dict[str, Any]):
    camera = read_camera(make_info(WEBCAM, **changes), is_rectified=False)
    assert camera.size_wh == (640, 480)
    np.testing.assert_array_equal(camera.intrinsics, camera_matrix(*WEBCAM['k']))


def test_single_cameras_may_leave_r_and_p_out():
    info = make_info(BLACKFLY, r=np.zeros(9), p=np.array((0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0, 0)))
    camera = read_camera(info, is_rectified=False)
    np.testing.assert_array_equal(camera.pose, np.eye(4))
    assert rectification_error_px(info) == 0
    with pytest.raises(CalibrationError, match='no focal length in P, which rectified images need'):
        read_camera(info, is_rectified=True)


def bad(index: int, value: float, name: str) -> dict[str, Any]:
    values = np.array(getattr(make_info(WEBCAM), name))
    values[index] = value
    return {name: values}


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'k': np.zeros(9)}, 'no focal length in K, which raw images need; calibrate the camera'),
        (bad(0, -580.0, 'k'), 'no focal length in K'),
        (bad(4, np.nan, 'k'), 'no focal length in K'),
        (bad(2, np.inf, 'k'), 'no focal length in K'),
        (bad(8, 0.0, 'k'), r'in K; expected \[\[fx, 0, cx\], \[0, fy, cy\], \[0, 0, 1\]\]'),
        (bad(10, 2.0, 'p'), r'in P; expected \[\[fx, 0, cx\]'),
        (bad(0, 0.0, 'p'), 'no focal length in P'),
        (bad(3, np.nan, 'p'), 'no focal length in P'),
        (bad(0, 0.0, 'r'), 'in R; expected a rotation matrix'),
        (bad(0, np.nan, 'r'), 'in R; expected a rotation matrix'),
        ({'r': -np.eye(3).ravel()}, 'in R; expected a rotation matrix'),
        ({'d': np.array((0.1, 0.2))}, "2 coefficients in d for distortion_model 'plumb_bob'"),
        ({'roi': window(300, 0, 400, 480)}, r'roi of 400x480 at \(300, 0\) in an image of 640x480; expected'),
        ({'roi': window(10, 10, 0, 0)}, r'roi of 0x0 at \(10, 10\)'),
        ({'roi': RegionOfInterest(width=320)}, r'roi of 320x0'),
    ],
    ids=str,
)  # fmt: skip
def test_invalid_camera_info(changes: dict[str, Any], said: str):
    with pytest.raises(CalibrationError, match=said):
        read_camera(make_info(WEBCAM, **changes), is_rectified=False)


@pytest.mark.parametrize('calibration', [WEBCAM, REALSENSE_D405, AZURE_KINECT], ids=['webcam', 'D405', 'Azure Kinect'])
@pytest.mark.parametrize(
    'changes',
    [{}, {'r': TURN.ravel()}, {'binning_x': 2, 'binning_y': 2}, {'roi': window(40, 20, 500, 400), 'binning_x': 2}],
    ids=['whole', 'R', 'binning', 'region'],
)
def test_rays_are_those_of_image_geometry(calibration: dict[str, Any], changes: dict[str, Any]):
    """Where the package is installed: `apt install ros-$ROS_DISTRO-image-geometry`."""
    geometry = pytest.importorskip('image_geometry', reason='image_geometry is not installed; it comes with ROS')
    info = make_info(calibration, **changes)
    theirs = geometry.PinholeCameraModel()
    read = getattr(theirs, 'from_camera_info', None) or theirs.fromCameraInfo
    rectify = getattr(theirs, 'rectify_point', None) or theirs.rectifyPoint
    ray = getattr(theirs, 'project_pixel_to_3d_ray', None) or theirs.projectPixelTo3dRay
    read(info)
    raw, rectified = read_camera(info, is_rectified=False), read_camera(info, is_rectified=True)
    ones = np.ones(raw.size_wh[::-1], dtype=np.float32)
    for row, column in ((120, 160), (60, 200), (30, 70)):
        pixel = np.array([row]), np.array([column])
        for camera, uv in ((raw, rectify((column, row))), (rectified, (column, row))):
            x, y, z = ray(uv)
            found = camera.points_at(ones, pixel)[0]
            np.testing.assert_allclose((found[0] / found[2], found[1] / found[2]), (x / z, y / z), atol=3e-4)
