"""The node with depth: 3D in its results, and warnings if the depth does not fit.

Covers depth3d/depth_input.py, depth3d/depth_log.py, depth3d/depth_options.py, depth3d/depth_reader.py,
depth3d/geometry.py and depth3d/located.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_ros.depth3d import depth_log, depth_reader, estimator
from instructsam_ros.depth3d.transform_lookup import MissingTransformError
from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.point_cloud2 import read_points
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented, logged
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph
from tests.support.track_client import TrackClient

SIZE_WH = (64, 48)
INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
NEAR_M, FAR_M = 0.6, 1.0


@dataclass
class RgbdCamera:
    """Publishes an image with its depth and calibration; what it says can be spoilt."""

    graph: Graph
    encoding: str = '32FC1'
    offset_ns: int = 0
    size_wh: tuple[int, int] = SIZE_WH
    depth_frame: str = 'camera_optical_frame'
    intrinsics: np.ndarray = field(default_factory=lambda: INTRINSICS)
    info_size_wh: tuple[int, int] = SIZE_WH
    near_m: float = NEAR_M
    base: str = ''
    spoil: Callable[[np.ndarray], np.ndarray] = lambda depth_m: depth_m

    def __post_init__(self) -> None:
        self.depth = self.graph.peer.create_publisher(Image, f'{self.base}depth/image', 5)
        self.info = self.graph.peer.create_publisher(CameraInfo, f'{self.base}camera_info', 5)

    def image(self) -> Image:
        """A red block of 20 x 16 pixels before a wall; depth and calibration are sent at once."""
        header = self.graph.header()
        pixels = np.zeros((48, 64, 3), dtype=np.uint8)
        pixels[16:32, 20:40] = COLORS_RGB['red']
        depth_m = np.full(self.size_wh[::-1], FAR_M, dtype=np.float32)
        depth_m[16:32, 20:40] = self.near_m
        depth_m = self.spoil(depth_m)
        at = Header(stamp=make_stamp(read_stamp_ns(header.stamp) + self.offset_ns), frame_id=self.depth_frame)
        depth = make_depth(depth_m, '16UC1' if self.encoding == '16UC1' else '32FC1', at)
        depth.encoding = self.encoding
        self.info.publish(make_camera_info(self.intrinsics, self.info_size_wh, header))
        self.depth.publish(depth)
        return make_image(pixels, 'rgb8', header)


def start(graph: Graph, **parameters: Any) -> Any:
    return graph.segmenter(**{'instruction': 'red', 'depth.enabled': True, **parameters})


def middle_m(near_m: float = NEAR_M) -> tuple[float, float, float]:
    return (29.5 - 31.5) / 60 * near_m, (23.5 - 23.5) / 60 * near_m, near_m


def depth_answer(graph: Graph, camera: RgbdCamera, answers: list[Any], topic: str = 'image') -> Any:
    """The first answer with a box."""
    found: list[Any] = []

    def is_there() -> bool:
        found.extend(answer for answer in list(answers) if answer.instances and answer.instances[0].size.x > 0)
        return bool(found)

    graph.publish_images(graph.camera(topic=topic), until=is_there, make=camera.image)
    return found[0]


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1'])
def test_instances_have_boxes(graph: Graph, encoding: str):
    start(graph)
    answer = depth_answer(graph, RgbdCamera(graph, encoding), graph.subscribe())
    position, size = answer.instances[0].pose.position, answer.instances[0].size
    np.testing.assert_allclose((position.x, position.y, position.z), middle_m(), atol=0.012)
    np.testing.assert_allclose((size.x, size.y), (20 / 60 * NEAR_M, 16 / 60 * NEAR_M), atol=0.012)
    assert 0 < size.z < 0.02
    assert 0.4 < answer.instances[0].completeness <= 0.5  # one side of a flat box


def test_outputs_have_the_header_of_the_image(graph: Graph):
    start(graph)
    clouds = dict.fromkeys(('points', 'target/points'), PointCloud2)
    topics = {**clouds, 'target/pose': PoseStamped, 'markers': MarkerArray}
    received = {topic: graph.subscribe(f'segmenter/{topic}', kind) for topic, kind in topics.items()}
    camera = RgbdCamera(graph)
    sent = graph.publish_images(graph.camera(), until=lambda: all(received.values()), make=camera.image)
    headers = [image.header for image in sent]
    for topic, messages in received.items():
        first = messages[0].markers[0] if topic == 'markers' else messages[0]
        assert first.header in headers, topic
    points, target = received['points'][0], received['target/points'][-1]
    assert (points.width, points.height) == SIZE_WH
    assert target.width == 18 * 14
    pose = received['target/pose'][0].pose.position
    np.testing.assert_allclose((pose.x, pose.y, pose.z), middle_m(), atol=0.012)
    assert [marker.action for marker in received['markers'][-1].markers] == [Marker.DELETEALL, Marker.ADD, Marker.ADD]


def test_each_camera_has_its_own_depth(graph: Graph, log: Callable[[], str]):
    start(graph, cameras=['left', 'arm/wrist'])
    distances_m = {'left': 0.5, 'arm/wrist': 0.7}
    answers, clouds = {}, {}
    for name, near_m in distances_m.items():
        answers[name] = graph.subscribe(f'segmenter/{name}/segmentation')
        clouds[name] = graph.subscribe(f'segmenter/{name}/points', PointCloud2)
        camera = RgbdCamera(graph, near_m=near_m, base=f'{name}/')
        depth_answer(graph, camera, answers[name], topic=f'{name}/image')
        graph.publish_images(graph.camera(topic=f'{name}/image'), until=lambda: clouds[name], make=camera.image)  # noqa: B023
    for name, near_m in distances_m.items():
        assert answers[name][-1].instances[0].pose.position.z == pytest.approx(near_m, abs=0.012)
        assert np.nanmin(np.frombuffer(clouds[name][-1].data, np.float32).reshape(-1, 5)[:, 2]) == np.float32(near_m)
    spoilt = RgbdCamera(graph, depth_frame='elsewhere', base='left/')
    graph.publish_images(
        graph.camera(topic='left/image'), until=lambda: 'no 3D of left: depth is in' in log(), make=spoilt.image
    )


def test_tracked_instances_have_boxes_too(graph: Graph):
    start(graph, instruction='')
    camera, images, follower, received = RgbdCamera(graph), graph.camera(), TrackClient(graph), []
    follower.follow('red', received)
    graph.publish_images(images, until=lambda: received and received[-1].instances[0].size.x > 0, make=camera.image)
    assert received[-1].instances[0].id == '1'
    follower.close()


def test_scene_depth_is_decoded_only_with_subscribers(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    decoded, read_depth = [], depth_reader.read_depth
    monkeypatch.setattr(depth_reader, 'read_depth', lambda message: decoded.append(1) or read_depth(message))
    node = start(graph)
    graph.set_instruction(node, 'blue')  # of which there is nothing
    answers, camera, images = graph.subscribe(), RgbdCamera(graph), graph.camera()
    graph.publish_images(images, until=lambda: len(answers) >= 3, make=camera.image)
    assert not decoded
    points = graph.subscribe('segmenter/points', PointCloud2)
    graph.publish_images(images, until=lambda: points, make=camera.image)
    assert decoded


def test_depth_is_decoded_once_per_image(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    decoded, read_depth = [], depth_reader.read_depth
    monkeypatch.setattr(depth_reader, 'read_depth', lambda message: decoded.append(1) or read_depth(message))
    start(graph, instruction='', instructions=['red', 'red one', 'the red'])
    answers, camera = graph.subscribe(), RgbdCamera(graph)
    graph.publish_images(graph.camera(), until=lambda: len(answers) >= 3, make=camera.image)
    graph.publish_images(
        graph.camera(), until=lambda: len({read_stamp_ns(a.header.stamp) for a in answers}) >= 4, make=camera.image
    )
    assert len(decoded) <= len({read_stamp_ns(answer.header.stamp) for answer in answers}) + 1


def test_depth_out_of_range_is_ignored(graph: Graph):
    node = start(graph, **{'depth.max': 0.7})
    answers, points = graph.subscribe(), graph.subscribe('segmenter/points', PointCloud2)
    camera = RgbdCamera(graph)
    depth_answer(graph, camera, answers)
    graph.publish_images(graph.camera(), until=lambda: points, make=camera.image)
    z = np.frombuffer(points[-1].data, np.float32).reshape(-1, 5)[:, 2]
    assert np.isfinite(z).sum() == 20 * 16
    assert graph.set_parameter(node, 'depth.max', 0.5).successful
    graph.publish_images(graph.camera(), until=lambda: answers[-1].instances[0].size.x == 0, make=camera.image)
    answer = answers[-1]
    assert answer.points_error_code == answer.boxes_error_code == ErrorCode.DEPTH_OUT_OF_RANGE
    check_documented(f'no 3D: {answer.depth_message}')


@pytest.mark.parametrize(
    ('spoilt', 'said'),
    [
        ({'encoding': 'mono16'}, "depth has encoding 'mono16'; expected one of 32FC1, 16UC1 (REP-118)"),
        ({'size_wh': (32, 24)}, 'depth is 32x24, the image 64x48; expected depth that is registered'),
        ({'depth_frame': 'depth_optical_frame'}, "depth is in the frame 'depth_optical_frame', the image in"),
        ({'info_size_wh': (640, 480)}, 'camera_info is for 640x480, the image is 64x48'),
        ({'intrinsics': np.zeros((3, 3))}, 'camera_info has no focal length in K, which raw images need'),
        ({'intrinsics': np.full((3, 3), np.nan)}, 'camera_info has no focal length in K, which raw images need'),
        ({'offset_ns': 12_000_000}, 'the nearest depth is 12 ms away from the image; expected at most 1 ms'),
    ],
    ids=['encoding', 'size', 'frame', 'size of camera_info', 'no calibration', 'broken calibration', 'stamp'],
)
def test_mismatching_depth_is_reported_once_and_results_have_no_3d(
    graph: Graph, log: Callable[[], str], spoilt: dict[str, Any], said: str
):
    node = start(graph, **{'depth.max_offset': 0.001})
    answers, images = graph.subscribe(), graph.camera()
    camera = RgbdCamera(graph, **{name: value for name, value in spoilt.items() if name != 'encoding'})
    camera.encoding = spoilt.get('encoding', '32FC1')
    graph.publish_images(images, until=lambda: said in log() and node.depth.missed >= 5, make=camera.image)
    assert log().count(said) == 1
    check_documented(logged(graph, log, said))
    assert answers[-1].instances[0].size.x == 0
    assert answers[-1].instances[0].box.width == 20
    for name, value in {'encoding': '32FC1', 'intrinsics': INTRINSICS, 'offset_ns': 0}.items():
        setattr(camera, name, value)
    camera.size_wh = camera.info_size_wh = SIZE_WH
    camera.depth_frame = 'camera_optical_frame'
    graph.publish_images(images, until=lambda: answers[-1].instances[0].size.x > 0, make=camera.image)


def test_depth_in_millimeters_without_saying_so(graph: Graph):
    start(graph)
    answers, camera = graph.subscribe(), RgbdCamera(graph)
    camera.spoil = lambda depth_m: 1000 * depth_m
    graph.publish_images(graph.camera(), until=lambda: answers and answers[-1].points_error_code, make=camera.image)
    graph.publish_images(
        graph.camera(), until=lambda: answers[-1].points_error_code == ErrorCode.DEPTH_OUT_OF_RANGE, make=camera.image
    )
    assert 'seems to be in millimeters' in answers[-1].depth_message
    check_documented(f'no 3D: {answers[-1].depth_message}')


def test_missing_depth_is_counted(graph: Graph, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(depth_log, 'DISCOVERY_TIMEOUT_S', 0.0)
    start(graph)
    answers, markers = graph.subscribe(), graph.subscribe('segmenter/markers', MarkerArray)
    received = graph.subscribe('/diagnostics', DiagnosticArray)

    def missed() -> int:
        values = {pair.key: pair.value for pair in received[-1].status[0].values} if received else {}
        return int(values.get('results without depth', 0))

    graph.publish_images(graph.camera(), until=lambda: missed() >= 3)
    check_documented(logged(graph, log, 'no 3D'))
    assert answers[-1].instances[0].size.x == 0
    assert [marker.action for marker in markers[-1].markers] == [Marker.DELETEALL]


def test_node_recovers_from_broken_depth(graph: Graph, log: Callable[[], str]):
    start(graph)
    answers, images, camera = graph.subscribe(), graph.camera(), RgbdCamera(graph)
    publish = camera.depth.publish

    def publish_half(depth: Image) -> None:
        del depth.data[100:]
        publish(depth)

    camera.depth.publish = publish_half
    graph.publish_images(images, until=lambda: 'no 3D: depth image: data is 100 bytes' in log(), make=camera.image)
    check_documented(logged(graph, log, 'no 3D'))
    camera.depth.publish = publish
    graph.publish_images(images, until=lambda: answers and answers[-1].instances[0].size.x > 0, make=camera.image)


def test_subscribes_to_depth_only_if_enabled_and_active(graph: Graph):
    node = graph.segmenter(autostart=False)
    listens = lambda: bool(graph.peer.get_subscriptions_info_by_topic('/depth/image'))  # noqa: E731
    graph.run_in_executor(node.trigger_configure)
    graph.run_in_executor(node.trigger_activate)
    assert not listens()
    graph.run_in_executor(node.trigger_deactivate)
    graph.run_in_executor(node.trigger_cleanup)
    assert graph.set_parameter(node, 'depth.enabled', True).successful
    graph.run_in_executor(node.trigger_configure)
    graph.run_in_executor(node.trigger_activate)
    graph.wait_for(listens, 'the node to listen')
    graph.run_in_executor(node.trigger_deactivate)
    graph.wait_for(lambda: not listens(), 'the node to stop listening')


class FakePoseLookup:
    """Knows that the camera looks straight down from 1 m above a table, or knows nothing."""

    knows = True

    def __init__(self, node: Any) -> None:
        pass

    def buffer_of(self, header: Header) -> str:
        return 'buffer'

    def pose(self, frame_id: str, header: Header, buffer: str, timeout_s: float) -> np.ndarray:
        assert (frame_id, buffer, timeout_s) == ('table', 'buffer', 0.5)
        if not self.knows:
            raise MissingTransformError('the pose of the camera is unknown', may_come=False)
        pose = np.diag((1.0, -1.0, -1.0, 1.0))
        pose[2, 3] = FAR_M
        return pose

    def destroy(self) -> None:
        pass


def test_upright_boxes_in_a_frame(graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]):
    monkeypatch.setattr(estimator, 'TransformLookup', FakePoseLookup)
    monkeypatch.setattr(estimator, 'check_tf2', lambda parameter: None)
    monkeypatch.setattr(estimator, 'find_spec', lambda name: name)
    start(graph, **{'depth.box_frame': 'table'})
    answers, camera = graph.subscribe(), RgbdCamera(graph, near_m=0.92)
    instance = depth_answer(graph, camera, answers).instances[0]
    assert instance.size.z == pytest.approx(0.08, abs=0.005)  # down to the table
    assert instance.pose.position.z == pytest.approx(0.96, abs=0.005)
    q = instance.pose.orientation
    up = 1 - 2 * (q.x**2 + q.y**2)  # z of the box along z of the camera
    assert up == pytest.approx(-1.0, abs=1e-6)

    monkeypatch.setattr(FakePoseLookup, 'knows', False)
    clouds = graph.subscribe('segmenter/target/points', PointCloud2)
    graph.publish_images(
        graph.camera(), until=lambda: answers[-1].instances[0].size.x == 0 and clouds, make=camera.image
    )
    assert 'no 3D boxes: the pose of the camera is unknown' in log()
    graph.publish_images(graph.camera(), until=lambda: clouds[-1].width > 0, make=camera.image)


def test_outputs_in_a_frame_of_choice(graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]):
    monkeypatch.setattr(estimator, 'TransformLookup', FakePoseLookup)
    monkeypatch.setattr(estimator, 'check_tf2', lambda parameter: None)
    monkeypatch.setattr(estimator, 'find_spec', lambda name: name)
    start(graph, target_frame='table')
    answers, camera = graph.subscribe(), RgbdCamera(graph, near_m=0.92)
    clouds = {name: graph.subscribe(f'segmenter/{name}', PointCloud2) for name in ('points', 'target/points')}
    poses = graph.subscribe('segmenter/target/pose', PoseStamped)
    answer = depth_answer(graph, camera, answers)
    assert (answer.header.frame_id, answer.geometry_frame_id) == ('camera_optical_frame', 'table')
    assert answer.instances[0].pose.position.z == pytest.approx(FAR_M - 0.92, abs=0.005)
    graph.publish_images(graph.camera(), until=lambda: poses and all(clouds.values()), make=camera.image)
    assert {message.header.frame_id for message in (poses[0], *(each[0] for each in clouds.values()))} == {'table'}
    assert poses[0].pose.position.z == pytest.approx(FAR_M - 0.92, abs=0.005)
    np.testing.assert_allclose(read_points(clouds['target/points'][0])[0][:, 2], FAR_M - 0.92, atol=0.005)

    monkeypatch.setattr(FakePoseLookup, 'knows', False)
    graph.publish_images(graph.camera(), until=lambda: answers[-1].points_error_code, make=camera.image)
    lost = answers[-1]
    assert (lost.points_error_code, lost.boxes_error_code) == (ErrorCode.NO_TRANSFORM, ErrorCode.NO_TRANSFORM)
    assert lost.depth_message == 'the pose of the camera is unknown; target_frame needs it'
    assert (lost.status, lost.geometry_frame_id, lost.instances[0].size.x) == (Segmentation.OK, 'table', 0.0)
    assert 'no 3D: the pose of the camera is unknown; target_frame needs it' in log()
    # Empty rather than in another frame.
    graph.publish_images(graph.camera(), until=lambda: clouds['target/points'][-1].width == 0, make=camera.image)
    assert clouds['target/points'][-1].header.frame_id == 'table'


def test_target_frame_of_the_camera_needs_no_transform(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimator, 'check_tf2', lambda parameter: None)
    start(graph, target_frame='camera_optical_frame')
    answer = depth_answer(graph, RgbdCamera(graph), graph.subscribe())
    assert answer.geometry_frame_id == answer.header.frame_id == 'camera_optical_frame'


def test_upright_boxes_on_the_largest_plane(graph: Graph, log: Callable[[], str]):
    start(graph, **{'depth.box_plane': True})
    answers, camera = graph.subscribe(), RgbdCamera(graph, near_m=0.92)
    instance = depth_answer(graph, camera, answers).instances[0]
    assert instance.size.z == pytest.approx(0.08, abs=0.005)  # down to the wall, which is the plane
    assert instance.pose.position.z == pytest.approx(0.96, abs=0.005)

    camera.spoil = lambda depth_m: np.random.default_rng(0).uniform(0.3, 2, depth_m.shape).astype(np.float32)
    graph.publish_images(graph.camera(), until=lambda: answers[-1].instances[0].size.x == 0, make=camera.image)
    assert 'no 3D boxes: no plane in the depth image' in log()


def test_responses_have_points(graph: Graph):
    start(graph)
    camera = RgbdCamera(graph)
    depth_answer(graph, camera, graph.subscribe())
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    image = camera.image()
    response = graph.call(client, Segment.Request(instruction='red', image=image))
    assert response.points.width == 18 * 14
    assert response.points.header == image.header
    assert response.segmentation.instances[0].size.x > 0
    image.header.stamp = make_stamp(read_stamp_ns(image.header.stamp) - 10**9)
    late = graph.call(client, Segment.Request(instruction='red', image=image))
    assert (late.success, late.points.width, late.segmentation.instances[0].size.x) == (True, 0, 0.0)
