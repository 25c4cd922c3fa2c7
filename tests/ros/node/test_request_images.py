"""`~/segment` with images of one's own: compressed, with depth, calibration and prompts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point32
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.image import make_image
from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph

SIZE_WH = (64, 48)
INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
NEAR_M = 0.6
DOCUMENTED = (
    'image:',
    'depth',
    'camera_info:',
    'prompt',
    'min_score: expected 0..1, got nan',
    'no camera_info',
    'encoding',
)
"""Beginnings of the messages that docs/faults.md shows."""


@pytest.fixture(scope='module')
def shared() -> Any:
    """A node without depth, which all requests of this file go to."""
    graph = Graph()
    graph.segmenter()
    yield graph
    graph.close()


def own_image() -> Image:
    """A red block of 20 x 16 pixels, in no frame and at no time."""
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    pixels[16:32, 20:40] = COLORS_RGB['red']
    return make_image(pixels, 'rgb8', Header())


def own_depth(encoding: str = '32FC1', near_m: float = NEAR_M, header: Header | None = None) -> Image:
    depth_m = np.full((48, 64), 1.0, dtype=np.float32)
    depth_m[16:32, 20:40] = near_m
    return make_depth(depth_m, encoding, header or Header(frame_id='depth'))


def compressed(image: Image, format_: str) -> CompressedImage:
    pixels = np.asarray(image.data, dtype=np.uint8).reshape(48, 64, 3)
    data = cv2.imencode(f'.{format_}', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    return CompressedImage(header=image.header, format=format_, data=data.tobytes())


def compressed_depth(depth: Image) -> CompressedImage:
    """As compressed_depth_image_transport: a header of 12 bytes, then a PNG of millimeters."""
    pixels = np.frombuffer(bytes(depth.data), np.uint16).reshape(48, 64)
    data = bytes(12) + cv2.imencode('.png', pixels)[1].tobytes()
    return CompressedImage(header=depth.header, format='16UC1; compressedDepth png', data=data)


def info() -> CameraInfo:
    return make_camera_info(INTRINSICS, SIZE_WH, Header())


def ask(graph: Graph, **fields: Any) -> Segment.Response:
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    response = graph.call(client, Segment.Request(**{'instruction': 'red', **fields}))
    graph.run_in_executor(lambda: graph.peer.destroy_client(client))
    return response


@pytest.mark.parametrize('format_', ['png', 'jpeg'])
def test_compressed_image(shared: Graph, format_: str):
    image = own_image()
    image.header = shared.header()
    # JPEG blurs the colors, which the fake segmenter compares exactly.
    instruction = 'red' if format_ == 'png' else 'everything'
    response = ask(shared, instruction=instruction, compressed_image=compressed(image, format_))
    assert (response.success, response.message) == (True, '')
    assert response.segmentation.header == image.header
    assert (response.segmentation.width, response.segmentation.height) == SIZE_WH
    assert len(response.segmentation.instances) == 1


@pytest.mark.parametrize('depth', ['32FC1', '16UC1', 'compressed'])
def test_own_depth_gives_points_and_boxes_without_depth_enabled(shared: Graph, depth: str):
    fields: dict[str, Any] = {'depth': own_depth(depth)} if depth != 'compressed' else {}
    if depth == 'compressed':
        fields = {'compressed_depth': compressed_depth(own_depth('16UC1'))}
    response = ask(shared, image=own_image(), camera_info=info(), **fields)
    assert (response.success, response.message) == (True, '')
    assert response.segmentation.points_error_code == response.segmentation.boxes_error_code == ErrorCode.OK
    assert response.points.width == 18 * 14, 'without the border of the mask'
    [instance] = response.segmentation.instances
    center = instance.pose.position
    # Pixels 20 to 39 and 16 to 31: their middle is (29.5, 23.5).
    assert (center.x, center.y, center.z) == pytest.approx(((29.5 - 31.5) / 60 * NEAR_M, 0, NEAR_M), abs=2e-3)
    assert max(instance.size.x, instance.size.y, instance.size.z) == pytest.approx(20 / 60 * NEAR_M, rel=0.2)


def test_without_depth_nothing_is_promised(shared: Graph):
    response = ask(shared, image=own_image())
    assert (response.success, response.message) == (True, '')
    assert response.segmentation.points_error_code == ErrorCode.DEPTH_DISABLED
    assert response.segmentation.depth_message == ''
    assert response.points.width == 0


@pytest.mark.parametrize(
    ('fields', 'code', 'said'),
    [
        ({'depth': own_depth()}, ErrorCode.NO_CAMERA_INFO, 'no camera_info came with the depth image of the request'),
        ({'depth': own_depth(near_m=30.0), 'camera_info': info()}, ErrorCode.DEPTH_OUT_OF_RANGE, 'and depth.max, 3 m'),
        ({'depth': make_depth(np.ones((24, 32), np.float32), '32FC1', Header()), 'camera_info': info()},
         ErrorCode.DEPTH_MISMATCH, 'depth is 32x24, the image 64x48'),
        ({'depth': make_image(np.ones((48, 64), np.uint16), 'mono16', Header()), 'camera_info': info()},
         ErrorCode.DEPTH_MISMATCH, "encoding 'mono16'; expected one of 32FC1, 16UC1 (REP-118); check the depth of the"),
        ({'depth': own_depth(), 'camera_info': make_camera_info(INTRINSICS, (640, 480), Header())},
         ErrorCode.DEPTH_MISMATCH, 'camera_info is for 640x480, the image is 64x48'),
        ({'depth': own_depth(), 'camera_info': make_camera_info(np.zeros((3, 3)), SIZE_WH, Header())},
         ErrorCode.NO_CAMERA_INFO, 'calibrate'),
        ({'compressed_depth': CompressedImage(format='16UC1; compressedDepth png', data=bytes(40)),
          'camera_info': info()}, ErrorCode.DEPTH_MISMATCH, 'compressed depth'),
    ],
    ids=['no calibration', 'range', 'size', 'encoding', 'size of the calibration', 'calibration', 'broken'],
)  # fmt: skip
def test_reply_says_why_there_is_no_3d(shared: Graph, fields: dict[str, Any], code: int, said: str):
    response = ask(shared, image=own_image(), **fields)
    assert response.success, 'the masks are right'
    assert len(response.segmentation.instances) == 1
    assert (response.error_code, response.segmentation.points_error_code) == (ErrorCode.OK, code)
    assert said in response.message
    assert response.message == response.segmentation.depth_message
    assert response.points.width == 0
    if said.startswith(DOCUMENTED):
        check_documented(response.message)


def test_depth_of_another_frame_is_not_registered(shared: Graph):
    image, depth = own_image(), own_depth(header=Header(frame_id='depth_optical_frame'))
    image.header.frame_id = 'color_optical_frame'
    response = ask(shared, image=image, depth=depth, camera_info=info())
    assert "depth is in the frame 'depth_optical_frame', the image in 'color_optical_frame'" in response.message
    depth.header.frame_id = image.header.frame_id
    depth.header.stamp.sec = 1000
    assert ask(shared, image=image, depth=depth, camera_info=info()).message == '', 'stamps need not match'


@pytest.mark.parametrize(
    ('fields', 'said'),
    [
        ({'image': own_image(), 'compressed_image': compressed(own_image(), 'png')},
         'image: expected image or compressed_image, got both; send one of them'),
        ({'image': own_image(), 'depth': own_depth(), 'compressed_depth': compressed_depth(own_depth('16UC1'))},
         'depth: expected depth or compressed_depth, got both; send one of them'),
        ({'depth': own_depth()}, 'depth: expected only together with image or compressed_image'),
        ({'camera_info': info()}, 'camera_info: expected only together with image or compressed_image'),
        ({'image': own_image(), 'camera_info': CameraInfo(k=INTRINSICS.ravel())},
         'camera_info: expected the width and height that it is for, got 0x0'),
        ({'image': own_image(), 'prompt_points': [Point32(x=70.0, y=3.0)]},
         'prompt_points: expected points in the image of 64x48, got (70, 3)'),
        ({'image': own_image(), 'prompt_points': [Point32(x=float('nan'), y=3.0)]},
         'prompt_points: expected finite pixel coordinates, got (nan, 3)'),
        ({'image': own_image(), 'prompt_region': RegionOfInterest(x_offset=70, width=3, height=3)},
         'prompt_region: expected a region in the image of 64x48, got x 70 to 73, y 0 to 3'),
        ({'image': own_image(), 'prompt_region': RegionOfInterest(x_offset=7)},
         'prompt_region: expected a width and a height of at least 1, got 0x0'),
        ({'image': own_image(), 'min_score': float('nan')}, 'min_score: expected 0..1, got nan'),
        ({'image': own_image(), 'min_score': -0.5}, 'min_score: expected 0..1, got -0.5'),
        ({'image': own_image(), 'instruction': ' \n\t'}, 'instruction: expected text such as'),
        ({'image': own_image(), 'instruction': '\x07\x1b \u200b'},
         'instruction: expected text such as "the red mug", got only spaces and control characters'),
        ({'image': own_image(), 'camera': 'left'}, "camera: expected one of none, got 'left'"),
    ],
    ids=lambda value: '' if isinstance(value, dict) else value[:40],
)  # fmt: skip
def test_contradictory_requests_are_invalid(shared: Graph, fields: dict[str, Any], said: str):
    response = ask(shared, **fields)
    assert (response.success, response.error_code) == (False, ErrorCode.INVALID_REQUEST)
    assert said in response.message
    assert response.segmentation.status == Segmentation.FAILED
    if said.startswith(DOCUMENTED):
        check_documented(response.message)


@pytest.mark.parametrize(
    'image',
    [
        {'image': Image(width=2**32 - 1, height=2**32 - 1, step=2**32 - 1, encoding='rgb8', data=bytes(9))},
        {'image': Image(encoding='rgb8')},
        {'compressed_image': CompressedImage(format='jpeg')},
        {'compressed_image': CompressedImage(format='png', data=b'\x89PNG and nothing else')},
    ],
    ids=['huge', 'encoding only', 'no data', 'broken'],
)
def test_broken_image_is_no_missing_one(shared: Graph, image: dict[str, Any]):
    response = ask(shared, **image)
    assert (response.success, response.error_code) == (False, ErrorCode.BAD_IMAGE)


def test_prompt_keeps_the_instances_at_its_points_and_in_its_region(shared: Graph):
    image = shared.image('red', 'green', 'blue')  # blocks of 10 x 10 at x = 5, 25 and 45, y = 10
    fields = {'instruction': 'red green blue', 'image': image, 'min_score': 0.1}

    def labels(**prompt: Any) -> list[str]:
        response = ask(shared, **fields, **prompt)
        assert (response.success, response.message) == (True, '')
        return [instance.label for instance in response.segmentation.instances]

    assert labels() == ['red', 'green', 'blue']
    assert labels(prompt_points=[Point32(x=30.0, y=15.0)]) == ['green']
    assert labels(prompt_points=[Point32(x=50.0, y=15.0), Point32(x=6.0, y=11.0)]) == ['red', 'blue']
    assert labels(prompt_region=RegionOfInterest(x_offset=30, y_offset=0, width=34, height=48)) == ['green', 'blue']


def test_prompt_that_fits_nothing_says_how_many_were_found(shared: Graph):
    response = ask(shared, image=own_image(), prompt_points=[Point32(x=1.0, y=1.0)])
    assert (response.success, response.error_code) == (True, ErrorCode.OK)
    assert response.segmentation.status == Segmentation.NO_TARGET
    check_documented(response.message)
    assert 'no instance at the prompt: 1 found' in response.message
    assert ask(shared, instruction='blue', image=own_image(), prompt_points=[Point32(x=1.0, y=1.0)]).message == ''
