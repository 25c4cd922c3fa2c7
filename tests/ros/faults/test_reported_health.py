"""/diagnostics is true at every fault: level, cause, and the recovery; docs/faults.md shows each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instructsam_model import CheckpointError
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.stamp import make_stamp
from tests.support import tf2_substitute
from tests.support.depth_camera import DepthCamera, delayed, with_depth
from tests.support.diagnostics import ERROR, OK, WARN, Diagnostics
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph

SHARE = 'in 100% of the answers of the last 10 s'
WITH_DEPTH = {
    'depth.enabled': True,
    'depth.max_delay': 0.05,
    'depth.max_offset': 0.005,
    'instruction': 'red',
    'checkpoint': 'here',
}


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that faults are reported and forgotten soon."""
    monkeypatch.setattr('instructsam_ros.node.heartbeat.PERIOD_S', 0.1)
    monkeypatch.setattr('instructsam_ros.inference.statistics.WINDOW_S', 0.5)


def encoded(encoding: str) -> Callable[[Image], Image]:
    def spoil(depth: Image) -> Image:
        depth.encoding = encoding
        return depth

    return spoil


def cut(depth: Image) -> Image:
    del depth.data[100:]
    return depth


def in_another_frame(depth: Image) -> Image:
    depth.header = Header(stamp=depth.header.stamp, frame_id='depth_optical_frame')
    return depth


DEPTH_FAULTS: dict[str, tuple[Callable[[Image], Image | None], str]] = {
    'encoding': (encoded('mono16'), "depth has encoding 'mono16'"),
    'too little data': (cut, 'data is 100 bytes'),
    'frame': (in_another_frame, "depth is in the frame 'depth_optical_frame'"),
    'out of range': (with_depth(7.0), 'the median of the depth image is 7 m; change the range'),
    'millimeters as 32FC1': (with_depth(1000.0), 'so that it seems to be in millimeters'),
    'too far in time': (delayed(12_000_000), 'ms away from the image; expected at most 5 ms'),
    'other clock': (delayed(-3_600_000_000_000), 'the clocks of the two drivers differ'),
    'stops': (lambda _: None, 'no depth has arrived for'),
}
INFO_FAULTS: dict[str, tuple[Callable[[CameraInfo], CameraInfo | None], str]] = {
    'another resolution': (lambda info: CameraInfo(header=info.header, width=640, height=480, k=info.k), 'is for 640x'),
    'not calibrated': (lambda info: CameraInfo(header=info.header, width=64, height=48), 'no focal length in K'),
}


def test_faults_of_depth(graph: Graph):
    graph.segmenter(**WITH_DEPTH)
    diagnostics, images, camera = Diagnostics(graph), graph.camera(), DepthCamera(graph)

    def publish_until(condition: Callable[[], Any]) -> None:
        graph.publish_images(images, until=condition, make=camera.image, rate_hz=20.0)

    def is_fine() -> bool:
        return all(diagnostics.shows(output, OK, 'Hz') for output in ('masks', '3D points', '3D boxes'))

    def shows(said: str) -> bool:
        """Whether points and boxes are missing in all answers for this reason; the masks are not affected."""
        lost = [diagnostics[output] for output in ('3D points', '3D boxes')]
        are_lost = all(each.level == ERROR and SHARE in each.message and said in each.message for each in lost)
        return are_lost and diagnostics.shows('masks', OK, 'Hz')

    publish_until(is_fine)
    for spoil_depth, said in DEPTH_FAULTS.values():
        camera.spoil_depth = spoil_depth
        publish_until(lambda said=said: shows(said))
        camera.repair()
    for spoil_info, said in INFO_FAULTS.values():
        camera.spoil_info = spoil_info
        publish_until(lambda said=said: shows(said))
        camera.repair()
    publish_until(is_fine)
    assert int(diagnostics.values('3D points')['missing in total, DEPTH_MISMATCH']) > 0
    assert int(diagnostics.values('3D points')['missing in total, DEPTH_OUT_OF_RANGE']) > 0
    assert int(diagnostics.values('3D points')['missing in total, NO_DEPTH']) > 0
    assert int(diagnostics.values('3D points')['missing in total, NO_CAMERA_INFO']) > 0


def test_depth_and_calibration_that_never_come(graph: Graph):
    graph.segmenter(**WITH_DEPTH)
    diagnostics, images = Diagnostics(graph), graph.camera()
    graph.publish_images(images, until=lambda: diagnostics.shows('3D points', ERROR, "no publisher on '/depth/image'"))
    check_documented(f'`{diagnostics["3D points"].message}`')
    camera = DepthCamera(graph)
    camera.spoil_info = lambda _: None
    graph.publish_images(
        images, until=lambda: diagnostics.shows('3D boxes', ERROR, "on '/camera_info'"), make=camera.image
    )


def test_depth_that_is_missing_while_nothing_is_located(graph: Graph):
    graph.segmenter(**{**WITH_DEPTH, 'instruction': 'blue', 'image_timeout': 1.0})
    diagnostics, images = Diagnostics(graph), graph.camera()
    graph.publish_images(
        images, until=lambda: diagnostics.shows('3D points', WARN, 'no depth has arrived: no publisher')
    )
    camera = DepthCamera(graph)
    camera.spoil_info = lambda _: None
    graph.publish_images(
        images, until=lambda: diagnostics.shows('3D boxes', WARN, 'no camera_info has arrived'), make=camera.image
    )
    check_documented(diagnostics['3D points'].message)
    camera.repair()
    graph.publish_images(images, until=lambda: diagnostics.shows('3D boxes', OK, 'nothing to'), make=camera.image)
    graph.publish_images(images, until=lambda: diagnostics.shows('3D points', WARN, 'has arrived for'))
    check_documented(diagnostics['3D points'].message)


@pytest.mark.parametrize(
    ('parameters', 'said'),
    [
        ({'depth.box_frame': 'tabel'}, 'no node has published such a frame on /tf'),
        ({'depth.box_plane': True, 'depth.min': 0.1, 'depth.max': 3.0}, 'no plane in the depth image'),
    ],
    ids=['transform', 'plane'],
)
def test_boxes_only(graph: Graph, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any], said: str):
    tf2_substitute.install(monkeypatch)
    graph.segmenter(**WITH_DEPTH, **parameters)
    diagnostics, images, camera = Diagnostics(graph), graph.camera(), DepthCamera(graph)

    def uneven(depth: Image) -> Image:
        depth_m = np.random.default_rng(0).uniform(0.2, 2.9, (48, 64)).astype(np.float32)
        return make_depth(depth_m, '32FC1', depth.header)

    camera.spoil_depth = uneven
    graph.publish_images(images, until=lambda: diagnostics.shows('3D boxes', ERROR, said), make=camera.image)
    graph.publish_images(images, until=lambda: diagnostics.shows('3D points', OK, 'Hz'), make=camera.image)


def test_images_that_are_too_old(graph: Graph):
    graph.segmenter(instruction='red', max_age=1.0)

    def old() -> Image:
        image = graph.image('red')
        image.header.stamp = make_stamp(1)
        return image

    diagnostics = Diagnostics(graph)
    graph.publish_images(graph.camera(), until=lambda: diagnostics.shows('masks', ERROR, 'the last'), make=old)
    assert 'max_age' in diagnostics['masks'].message
    graph.publish_images(graph.camera(), until=lambda: diagnostics.shows('masks', OK, 'Hz'))


def test_checkpoint_that_cannot_be_loaded(graph: Graph):
    outcomes = [
        CheckpointError('/no/such/folder: no such folder, and not the id of a checkpoint on the hub (owner/name)')
    ]

    def load(_: Any) -> FakeSegmenter:
        if outcomes:
            raise outcomes.pop()
        return FakeSegmenter()

    node = graph.segmenter(load=load, checkpoint='/no/such/folder')
    diagnostics = Diagnostics(graph)
    for output in ('node', 'checkpoint'):
        check_documented(f'`{diagnostics.wait_for(output, ERROR)}`')
    assert diagnostics.values('checkpoint')['checkpoint'] == '/no/such/folder'
    graph.run_in_executor(node.trigger_configure)
    diagnostics.wait_for('checkpoint', OK, "'/no/such/folder', loaded by the back end auto")
    diagnostics.wait_for('node', OK, 'inactive')


def test_statuses_without_a_fault_are_documented(graph: Graph):
    node = graph.segmenter()
    diagnostics = Diagnostics(graph)
    for output, level in (('node', OK), ('checkpoint', WARN)):
        check_documented(f'`{diagnostics.wait_for(output, level)}`')
    images = graph.camera()
    graph.publish_images(images, until=lambda: diagnostics.shows('masks', OK, 'idle'))
    check_documented(f'`{diagnostics["masks"].message}`')
    graph.set_instruction(node, 'fail')
    graph.publish_images(images, until=lambda: diagnostics.shows('masks', ERROR, SHARE))
    check_documented(f'`{diagnostics["masks"].message}`')
