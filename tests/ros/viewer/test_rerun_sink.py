"""Images, results and point clouds in a recording, read back from the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import ConfigError, Frame, Instruction
from instructsam_model.draw import color_rgb
from instructsam_ros.messages.image import make_image, read_image
from instructsam_ros.messages.segmentation import make_segmentation
from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Segmentation
from instructsam_ros.viewer.rerun_sink import RerunSink
from tests.support.fake_segmenter import COLORS_RGB, FakeSegmenter
from tests.support.point_clouds import make_cloud, organized_points

pytest.importorskip('rerun', reason='the extra view is not installed')
from tests.support.rrd import Rows, read_recording

STAMP_NS = 1_700_000_000_123_456_789
"""Of the first image; not a whole number of microseconds."""


@pytest.fixture
def sink() -> RerunSink:
    return RerunSink()


def header(number: int) -> Header:
    return Header(stamp=make_stamp(STAMP_NS + number), frame_id='camera_optical_frame')


def scene(number: int, *colors: str) -> Image:
    pixels = np.zeros((48, 64, 3), dtype=np.uint8)
    for place, color in enumerate(colors):
        pixels[10:20, 5 + 20 * place : 15 + 20 * place] = COLORS_RGB[color]
    return make_image(pixels, 'rgb8', header(number))


def make_result(image: Image, text: str) -> Segmentation:
    segmentation = FakeSegmenter().segment(Frame(read_image(image)), Instruction(text))
    message = make_segmentation(segmentation, image.header)
    message.raw_text = f'<|object_ref_start|>{message.text}<|object_ref_end|>[SEG]'
    message.latency = 0.25
    return message


def written(sink: RerunSink, file: Path, *calls: tuple[Any, ...]) -> dict[str, Rows]:
    """Make a recording of some calls, each a method and its arguments, and read it."""
    sink.save(file)
    for method, *arguments in calls:
        method(*arguments)
    sink.flush()
    sink.close()
    return read_recording(file)


def test_result_is_logged_at_the_stamp_of_its_image(sink: RerunSink, tmp_path: Path):
    first, newest = scene(0, 'red', 'green'), scene(1)
    rows = written(
        sink,
        tmp_path / 'a.rrd',
        (sink.log_camera, newest),
        (sink.log_result, make_result(first, 'red and green'), first),
    )
    [(stamp_ns, image)] = rows['/result/image']
    assert stamp_ns == STAMP_NS
    assert [row[0] for row in rows['/camera']] == [STAMP_NS + 1]
    displayed = cv2.imdecode(np.array(image['EncodedImage:blob'][0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(displayed[15, 10].astype(int) - COLORS_RGB['red']).max() < 40
    [(stamp_ns, masks)] = rows['/result/image/masks']
    assert stamp_ns == STAMP_NS
    labels = np.frombuffer(bytes(masks['SegmentationImage:buffer'][0]), np.uint16).reshape(48, 64)
    assert {label: int((labels == label).sum()) for label in (0, 1, 2)} == {0: 48 * 64 - 200, 1: 100, 2: 100}
    assert (labels[10:20, 5:15] == 1).all()
    [(stamp_ns, boxes)] = rows['/result/image/boxes']
    assert stamp_ns == STAMP_NS
    assert boxes['Boxes2D:labels'] == ['red 0.90', 'green 0.70']
    assert boxes['Boxes2D:centers'] == [[10, 15], [30, 15]]
    assert boxes['Boxes2D:half_sizes'] == [[5, 5], [5, 5]]
    assert boxes['Boxes2D:class_ids'] == [1, 2]
    [(_, text)] = rows['/result/text']
    assert text['TextDocument:text'] == ['red and green\n\nred, green\n\n2 found']
    assert rows['/latency_ms'] == [(STAMP_NS, {'Scalars:scalars': [250.0]})]
    assert '/result/space/boxes' not in rows


def test_colors_are_those_of_the_overlay(sink: RerunSink, tmp_path: Path):
    image = scene(0, 'red', 'green')
    rows = written(sink, tmp_path / 'a.rrd', (sink.log_result, make_result(image, 'red and green'), image))
    [(_, context)] = rows['/result']
    classes = [entry['class_description']['info'] for entry in context['AnnotationContext:context'][0]]
    assert [(entry['id'], entry['label']) for entry in classes] == [(0, ''), (1, 'red 0.90'), (2, 'green 0.70')]
    red, green, blue = color_rgb(0)
    assert classes[1]['color'] == red << 24 | green << 16 | blue << 8 | 255
    assert classes[0]['color'] & 255 == 0


def test_results_without_instances_clear_the_previous_result(sink: RerunSink, tmp_path: Path):
    images = [scene(number, 'red') for number in range(4)]
    failed = Segmentation(
        header=header(2), instruction='red', status=Segmentation.FAILED, message='the model broke', latency=0.1
    )
    withdrawn = make_result(images[3], 'blue')
    withdrawn.status, withdrawn.message = Segmentation.WITHDRAWN, "replaced by 'green'"
    rows = written(
        sink,
        tmp_path / 'a.rrd',
        (sink.log_result, make_result(images[0], 'red'), images[0]),
        (sink.log_result, make_result(images[1], 'blue'), images[1]),
        (sink.log_result, failed, None),
        (sink.log_result, withdrawn, images[3]),
    )
    stamps_ns = [STAMP_NS + number for number in range(4)]
    masks = rows['/result/image/masks']
    assert [row[0] for row in masks] == stamps_ns
    assert not any(masks[1][1]['SegmentationImage:buffer'][0])
    assert not any(masks[3][1]['SegmentationImage:buffer'][0])
    assert masks[2][1]['Clear:is_recursive'] == [False]
    assert [row[1]['Boxes2D:labels'] for row in rows['/result/image/boxes']] == [['red 0.90'], [], [], []]
    assert rows['/result/image'][2][1]['Clear:is_recursive'] == [False]
    texts = [row[1]['TextDocument:text'][0].split('\n\n')[-1] for row in rows['/result/text']]
    assert texts == ['1 found', 'nothing found', 'failed: the model broke', "withdrawn: replaced by 'green'"]


def test_points_and_3d_boxes(sink: RerunSink, tmp_path: Path):
    image = scene(0, 'red', 'green')
    result = make_result(image, 'red and green')
    result.instances[1].pose = Pose(position=Point(x=0.1, y=0.2, z=1.0), orientation=Quaternion(z=1.0, w=0.0))
    result.instances[1].size = Vector3(x=0.2, y=0.4, z=0.6)
    points = make_cloud(organized_points())
    points.header = image.header
    next_result = make_result(scene(1), 'red')
    rows = written(
        sink,
        tmp_path / 'a.rrd',
        (sink.log_result, result, image),
        (sink.log_cloud, points),
        (sink.log_result, next_result, None),
    )
    boxes = rows['/result/space/boxes']
    assert [row[0] for row in boxes] == [STAMP_NS, STAMP_NS + 1]
    box = boxes[0][1]
    assert box['Boxes3D:labels'] == ['green 0.70']
    assert box['Boxes3D:class_ids'] == [2]
    assert np.allclose(box['Boxes3D:centers'], [[0.1, 0.2, 1.0]])
    assert np.allclose(box['Boxes3D:half_sizes'], [[0.1, 0.2, 0.3]])
    assert box['Boxes3D:quaternions'] == [[0, 0, 1, 0]]
    assert boxes[1][1]['Boxes3D:centers'] == []
    [(stamp_ns, displayed)] = rows['/result/space/points']
    assert stamp_ns == STAMP_NS
    assert len(displayed['Points3D:positions']) == 5
    assert displayed['Points3D:class_ids'] == [0, 0, 0, 0, 2]
    plain, tinted = displayed['Points3D:colors'][0], displayed['Points3D:colors'][-1]
    assert plain == 0x102030FF
    red, green, blue = (round((dark + bright) / 2) for dark, bright in zip((16, 32, 48), color_rgb(1), strict=True))
    assert tinted == red << 24 | green << 16 | blue << 8 | 255


@pytest.mark.parametrize(('frame_id', 'axes'), [('camera_optical_frame', (3, 2, 5)), ('base_link', (3, 5, 1))])
def test_the_3d_view_has_the_axes_of_its_frame(
    sink: RerunSink, tmp_path: Path, frame_id: str, axes: tuple[int, int, int]
):
    image, points = scene(0, 'red'), make_cloud(organized_points())
    points.header = Header(stamp=image.header.stamp, frame_id=frame_id)
    rows = written(
        sink, tmp_path / 'a.rrd', (sink.log_result, make_result(image, 'red'), None), (sink.log_cloud, points)
    )
    [(_, static)] = rows['/result/space']
    # Right, down, forward for the camera; z up for any other frame.
    assert static['ViewCoordinates:xyz'] == [list(axes)]


def test_missing_rerun_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, 'rerun', None)
    with pytest.raises(ConfigError, match="install it with pip install 'rerun-sdk"):
        RerunSink()


def test_invalid_outputs_raise_config_error(sink: RerunSink, tmp_path: Path):
    with pytest.raises(ConfigError, match='--save: cannot write'):
        sink.save(tmp_path / 'missing' / 'a.rrd')
    with pytest.raises(ConfigError, match="--connect: expected HOST:PORT or a URL of Rerun, got 'ftp://nowhere'"):
        sink.connect('ftp://nowhere')
