"""The node with calibrations of all kinds: where its boxes are, and what it says about those that are not valid.

Covers depth3d/camera_reader.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.image import make_image
from instructsam_ros.msg import ErrorCode
from tests.support.calibrations import camera_matrix, make_info, window
from tests.support.documented_faults import check_documented, logged
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph

DEPTH_M = 1.0
K, P = (60.0, 31.5, 62.0, 23.5), (50.0, 28.0, 52.0, 22.0)
LENS = {'size_wh': (64, 48), 'model': 'plumb_bob', 'd': (-0.3, 0.1, 0.002, -0.003, 0.0), 'k': K, 'p': P}
IDEAL = {'size_wh': (64, 48), 'model': 'plumb_bob', 'd': (0.0,) * 5, 'k': K}


class Camera:
    """Publishes a red block of 16 x 12 pixels near the corner of an image, at `DEPTH_M` before a wall."""

    def __init__(self, graph: Graph, image_topic: str = 'image') -> None:
        self._graph = graph
        self._depth = graph.peer.create_publisher(Image, 'depth/image', 5)
        self._info = graph.peer.create_publisher(CameraInfo, 'camera_info', 5)
        self.images = graph.camera(topic=image_topic)
        self.info = make_info(IDEAL)
        self.frame_id = ''

    def image(self) -> Image:
        """Publish depth and calibration; return the image."""
        header = self._graph.header()
        pixels, depth_m = np.zeros((48, 64, 3), dtype=np.uint8), np.full((48, 64), 1.5, dtype=np.float32)
        pixels[3:15, 4:20], depth_m[3:15, 4:20] = COLORS_RGB['red'], DEPTH_M
        self.info.header = Header(stamp=header.stamp, frame_id=self.frame_id or header.frame_id)
        self._info.publish(self.info)
        self._depth.publish(make_depth(depth_m, '32FC1', header))
        return make_image(pixels, 'rgb8', header)

    def answer(self, answers: list[Any], is_it: Callable[[Any], bool]) -> Any:
        """Publish until there is such an answer; return it."""
        answers.clear()
        self._graph.publish_images(
            self.images, until=lambda: any(each.instances and is_it(each) for each in answers), make=self.image
        )
        return next(each for each in answers if each.instances and is_it(each))


def middle_m(rays: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The middle of the block, from the rays of the middles of its sides."""
    pixels = np.array([(4.0, 8.5), (19, 8.5), (11.5, 3), (11.5, 14)])
    left, right, top, bottom = rays(pixels)
    return DEPTH_M * np.array(((left[0] + right[0]) / 2, (top[1] + bottom[1]) / 2, 1.0))


def pinhole(values: tuple[float, ...], pixels: np.ndarray) -> np.ndarray:
    fx, cx, fy, cy = values
    return (pixels - (cx, cy)) / (fx, fy)


def opencv(undistort: Callable[..., np.ndarray], pixels: np.ndarray, d: tuple[float, ...]) -> np.ndarray:
    return undistort(pixels[:, None], camera_matrix(*K), np.array(d))[:, 0]


FISHEYE = (0.1, 0.05, 0.0, 0.0)
CASES: dict[str, tuple[CameraInfo, str, Callable[[np.ndarray], np.ndarray]]] = {
    'pinhole': (make_info(IDEAL), 'auto', lambda px: pinhole(K, px)),
    'rectified, P unlike K': (make_info(LENS), 'rectified', lambda px: pinhole(P, px)),
    'plumb_bob': (make_info(LENS), 'raw', lambda px: opencv(cv2.undistortPoints, px, LENS['d'])),
    'equidistant': (
        make_info(LENS, distortion_model='equidistant', d=np.array(FISHEYE)), 'raw',
        lambda px: opencv(cv2.fisheye.undistortPoints, px, FISHEYE),
    ),
    'binning': (
        make_info({**IDEAL, 'size_wh': (128, 96)}, binning_x=2, binning_y=2), 'raw', lambda px: pinhole(K, 2 * px),
    ),
    'region': (
        make_info({**IDEAL, 'size_wh': (200, 100)}, roi=window(30, 10, 64, 48)), 'raw',
        lambda px: pinhole(K, px + np.array((30, 10))),
    ),
}  # fmt: skip
"""Name: calibration, the parameter, and the rays of pixels (N, 2)."""


def test_boxes_are_where_the_calibration_says(graph: Graph):
    node = graph.segmenter(instruction='red', **{'depth.enabled': True})
    answers, clouds = graph.subscribe(), graph.subscribe('segmenter/points', PointCloud2)
    camera = Camera(graph)
    for name, (info, choice, rays) in CASES.items():
        assert graph.set_parameter(node, 'depth.rectified', choice).successful
        camera.info = info
        expected_m = middle_m(rays)

        def is_there(answer: Any, expected_m: np.ndarray = expected_m) -> bool:
            at = answer.instances[0].pose.position
            return answer.instances[0].size.x > 0 and np.abs((at.x, at.y, at.z) - expected_m).max() < 0.006

        try:
            camera.answer(answers, is_there)
        except AssertionError:
            found = [answer.instances[0].pose.position for answer in answers if answer.instances]
            raise AssertionError(f'{name}: expected {expected_m}, got {found[-1:]}') from None
        clouds.clear()
        graph.publish_images(camera.images, until=lambda: clouds, make=camera.image)
        points = np.frombuffer(clouds[-1].data, np.float32).reshape(48, 64, 5)
        np.testing.assert_allclose(points[9, 11, :2], DEPTH_M * rays(np.array([(11.0, 9.0)]))[0], atol=0.001)


def test_topic_that_says_that_images_are_rectified(graph: Graph):
    graph.segmenter(
        instruction='red', cli_args=['--ros-args', '-r', 'image:=camera/image_rect'], **{'depth.enabled': True}
    )
    camera = Camera(graph, 'camera/image_rect')
    camera.info = make_info(LENS)
    at = camera.answer(graph.subscribe(), lambda answer: answer.instances[0].size.x > 0).instances[0].pose.position
    np.testing.assert_allclose((at.x, at.y), middle_m(lambda px: pinhole(P, px))[:2], atol=0.006)


def test_doubt_is_logged(graph: Graph, log: Callable[[], str]):
    node = graph.segmenter(instruction='red', **{'depth.enabled': True})
    camera = Camera(graph)
    camera.info = make_info(LENS)
    answers = graph.subscribe()
    camera.answer(answers, lambda answer: answer.instances[0].size.x > 0)
    check_documented(logged(graph, log, 'nothing says whether'))
    assert log().count('nothing says whether') == 1
    received = graph.subscribe('/diagnostics', DiagnosticArray)

    def summaries() -> list[str]:
        statuses = received[-1].status if received else []
        return [each.message for each in statuses if '3D boxes' in each.name and each.level == DiagnosticStatus.WARN]

    graph.publish_images(
        camera.images, until=lambda: any('nothing says whether' in each for each in summaries()), make=camera.image
    )
    graph.set_parameter(node, 'depth.rectified', 'raw')
    graph.publish_images(camera.images, until=lambda: not summaries(), make=camera.image)
    p = np.column_stack([camera_matrix(*K), (-6.0, 0, 0)])
    camera.info = make_info(IDEAL, p=p.ravel())
    graph.publish_images(camera.images, until=lambda: 'second camera of a stereo pair' in log(), make=camera.image)
    check_documented(logged(graph, log, 'second camera of a stereo pair'))
    camera.frame_id = 'depth_optical_frame'
    graph.publish_images(camera.images, until=lambda: 'camera_info is in the frame' in log(), make=camera.image)
    check_documented(logged(graph, log, 'camera_info is in the frame'))


INVALID: dict[str, tuple[dict[str, Any], int]] = {
    'no focal length in K': ({'k': np.zeros(9)}, ErrorCode.NO_CAMERA_INFO),
    'in K; expected': ({'k': np.array((60.0, 0, 31.5, 0, 62.0, 23.5, 0, 0, 0))}, ErrorCode.NO_CAMERA_INFO),
    '3 coefficients in d': ({'d': np.array((0.1, 0.2, 0.3))}, ErrorCode.NO_CAMERA_INFO),
    'distortion_model': ({'distortion_model': 'double_sphere', 'd': np.array((0.1, 0.2))}, ErrorCode.NO_CAMERA_INFO),
    'd [nan': ({'d': np.array((np.nan, 0, 0, 0, 0))}, ErrorCode.NO_CAMERA_INFO),
    'in R': ({'r': np.ones(9)}, ErrorCode.NO_CAMERA_INFO),
    'roi of 64x48': ({'roi': window(10, 0, 64, 48)}, ErrorCode.NO_CAMERA_INFO),
    '32x48 (full': ({'binning_x': 2}, ErrorCode.DEPTH_MISMATCH),
}


def test_invalid_calibrations_are_explained(graph: Graph):
    graph.segmenter(instruction='red', **{'depth.enabled': True})
    answers, camera = graph.subscribe(), Camera(graph)
    for said, (changes, code) in INVALID.items():
        camera.info = make_info(LENS, **changes)
        answer = camera.answer(answers, lambda each, said=said: said in each.depth_message)
        assert answer.points_error_code == answer.boxes_error_code == code, said
        check_documented(f'no 3D: {answer.depth_message}')
    camera.info = make_info(IDEAL)
    camera.answer(answers, lambda answer: answer.instances[0].size.x > 0)
