"""Whether images are rectified: what the parameter, the calibration and the topics say."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instructsam_ros.depth3d.camera_reader import CameraReader, is_rectified
from instructsam_ros.messages.camera_info import make_camera_info
from tests.support.calibrations import WEBCAM, camera_matrix, make_info, window
from tests.support.documented_faults import check_documented

FX_RAW, FX_RECTIFIED = WEBCAM['k'][0], WEBCAM['p'][0]

IMAGE = Header(frame_id='camera')


@pytest.fixture
def said() -> list[str]:
    return []


def fx(topics: tuple[str, ...], choice: str, said: list[str], info: CameraInfo | None = None) -> float:
    reader = CameraReader(topics, said.append)
    for _ in range(3):
        camera = reader.read(info or make_info(WEBCAM), IMAGE, (640, 480), choice)
    assert not reader.doubt or reader.doubt in said
    return float(camera.intrinsics[0, 0])


def test_the_parameter_decides(said: list[str]):
    assert fx(('/camera/image_rect',), 'raw', said) == FX_RAW
    assert fx(('/camera/image_raw',), 'rectified', said) == FX_RECTIFIED
    assert not said


def test_the_topic_decides(said: list[str]):
    assert fx(('/camera/image_rect_color', '/depth/image_rect'), 'auto', said) == FX_RECTIFIED
    assert fx(('/camera/color/image_raw', '/camera/aligned_depth_to_color/image_raw'), 'auto', said) == FX_RAW
    assert fx(('/image', '/image/compressed', '/camera/depth_registered/image_rect'), 'auto', said) == FX_RECTIFIED
    assert not said


def test_image_and_depth_that_disagree(said: list[str]):
    assert fx(('/camera/image_rect_color', '/aligned_depth/image_raw'), 'auto', said) == FX_RECTIFIED
    (sentence,) = said
    check_documented(sentence)
    alike = make_camera_info(camera_matrix(*WEBCAM['k']), (640, 480), Header())
    assert fx(('/camera/image_raw', '/aligned_depth/image_rect'), 'auto', said, alike) == FX_RAW
    assert len(said) == 1


def test_doubt_is_said_once_with_its_size_and_the_parameter(said: list[str]):
    assert fx(('/image', '/image/compressed', '/depth/image'), 'auto', said) == FX_RAW
    (sentence,) = said
    assert sentence.startswith(
        "nothing says whether the images on '/image' are rectified; they are taken as raw (K and d"
    )
    assert 'wrong by up to 1' in sentence
    assert sentence.endswith('set depth.rectified to raw or rectified')


def test_no_doubt_if_both_are_the_same(said: list[str]):
    fx(('/image',), 'auto', said, make_camera_info(camera_matrix(*WEBCAM['k']), (640, 480), Header()))
    fx(('/image',), 'auto', said, make_info(WEBCAM, p=np.zeros(12)))
    assert not said


def test_second_camera_of_a_stereo_pair_is_said(said: list[str]):
    p = np.column_stack([camera_matrix(*WEBCAM['p']), (-WEBCAM['p'][0] * 0.12, 0, 0)])
    fx(('/right/image_rect',), 'auto', said, make_info(WEBCAM, p=p.ravel()))
    (sentence,) = said
    assert 'points are in the frame of the first, 120 mm beside it' in sentence


def test_without_topics_the_doubt_is_said_too(said: list[str]):
    assert fx((), 'auto', said) == FX_RAW
    assert said[0].startswith('nothing says whether the images are rectified; ')


def test_doubt_ends_with_the_parameter(said: list[str]):
    reader = CameraReader(('/image',), said.append)
    reader.read(make_info(WEBCAM), IMAGE, (640, 480), 'auto')
    assert reader.doubt == said[0]
    reader.read(make_info(WEBCAM), IMAGE, (640, 480), 'raw')
    assert not reader.doubt


def test_calibration_of_another_camera_is_a_doubt(said: list[str]):
    reader = CameraReader(('/image_raw',), said.append)
    for frame_id in ('', 'camera'):
        reader.read(make_info(WEBCAM, header=Header(frame_id=frame_id)), IMAGE, (640, 480), 'auto')
        assert not reader.doubt
    reader.read(make_info(WEBCAM, header=Header(frame_id='depth_camera')), IMAGE, (640, 480), 'auto')
    assert said == [reader.doubt]
    assert "camera_info is in the frame 'depth_camera', the image in 'camera'" in reader.doubt


def test_camera_is_kept_while_the_calibration_stays_the_same(said: list[str]):
    reader = CameraReader(('/image_raw',), said.append)
    first = reader.read(make_info(WEBCAM), IMAGE, (640, 480), 'auto')
    assert reader.read(make_info(WEBCAM, header=Header(stamp=Time(sec=5))), IMAGE, (640, 480), 'auto') is first
    changed = reader.read(make_info(WEBCAM, roi=window(0, 0, 320, 240)), IMAGE, (320, 240), 'auto')
    assert changed.size_wh == (320, 240)
    assert reader.read(make_info(WEBCAM), IMAGE, (640, 480), 'rectified').intrinsics[0, 0] == FX_RECTIFIED


@pytest.mark.parametrize(
    ('topic', 'expected'),
    [
        ('/image', None),
        ('/camera/image_color', None),
        ('/camera/image_rect', True),
        ('/camera/image_rect_color/compressed', True),
        ('/camera/infra1/image_rect_raw', None),  # RealSense
        ('/zed/zed_node/rgb/color/rect/image', True),
        ('/camera/image_rectified', True),
        ('/camera/image_undistorted', True),
        ('/camera/color/image_raw', False),
        ('/camera/image_raw/compressed', False),
        ('/zed/zed_node/rgb_raw/image_raw_color', False),
        ('/rect_cameras/front/image_raw', False),
        ('/camera/image_unrectified', False),
        ('/direct/correct/image', None),
        ('/drawer/image', None),
        ('/rectangles/distance/image', None),
    ],
)
def test_names_of_topics(topic: str, expected: bool | None):
    assert is_rectified(topic) is expected
