"""The simulated camera."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')

from instructsam_model import ConfigError
from instructsam_ros.messages.depth_image import read_depth
from instructsam_ros.messages.geometry import project
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample, GroundTruthSynchronizer
from instructsam_ros.sim.sim_camera import SimCamera
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import View
from instructsam_training.tabletop.scene.sampling import sample_scene
from tests.support.graph import Graph
from tests.support.policy import allowed
from tests.support.rendering import open_renderer

SEED = 5
RATE_HZ = 5.0


@pytest.fixture(scope='module')
def renderer() -> Iterator[Renderer]:
    with open_renderer((160, 120)) as made:
        yield made


def start(graph: Graph, **parameters: Any) -> SimCamera:
    values = {'seed': SEED, 'rate_hz': RATE_HZ, 'width': 160, 'height': 120, 'moving': False, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return graph.add(SimCamera(context=graph.context, cli_args=[], parameter_overrides=overrides))


def is_of(moment: GroundTruthSample, view: View) -> bool:
    """Tell whether a moment is that of a view; if its picture is, then so is the rest."""
    is_same = np.array_equal(moment.image_rgb, view.image_rgb)
    for seen, known in (
        (moment.labels, view.labels),
        (moment.depth_m, view.depth_m),
        (moment.intrinsics, view.intrinsics),
    ):
        assert np.array_equal(seen, known) or not is_same
    return is_same


def next_moment(graph: Graph, moments: GroundTruthSynchronizer, images: list[Image]) -> GroundTruthSample:
    """The first whole moment of a picture that is taken from now on."""
    now_ns = graph.peer.get_clock().now().nanoseconds
    found: list[GroundTruthSample] = []

    def is_there() -> bool:
        stamps_ns = [read_stamp_ns(image.header.stamp) for image in list(images)]
        found.extend(moment for stamp_ns in stamps_ns if stamp_ns > now_ns and (moment := moments.at(stamp_ns)))
        return bool(found)

    graph.wait_for(is_there, 'a picture with its depth, labels and calibration')
    return found[0]


def test_shows_the_scene_of_its_seed_and_says_all_about_a_picture_with_one_header(graph: Graph, renderer: Renderer):
    images, moments = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    depths = graph.subscribe('depth/image', Image)
    start(graph)
    moment = next_moment(graph, moments, images)
    view = renderer.view(sample_scene(SEED))
    assert is_of(moment, view)
    assert (images[0].encoding, images[0].width, images[0].height) == ('rgb8', 160, 120)
    assert images[0].header == next(depth.header for depth in depths if depth.header.stamp == images[0].header.stamp)
    assert images[0].header.frame_id == 'camera_optical_frame'
    assert len(view.things) > 2
    assert sorted(moment.boxes) == [thing.label for thing in view.things]
    for thing in view.things:
        x, y = project(np.array(thing.position_camera_m), moment.intrinsics)
        box = moment.boxes[thing.label]
        np.testing.assert_allclose(box.center_m, thing.position_camera_m, atol=1e-9)
        assert np.prod(box.size_m) == pytest.approx(thing.volume_m3)
        x1, y1, x2, y2 = thing.box_xyxy
        if thing.visible > 0.95:
            assert x1 < x < x2
            assert y1 < y < y2
            assert abs(np.median(moment.depth_m[moment.labels == thing.label]) - thing.position_camera_m[2]) < 0.15


def test_another_seed_is_another_scene(graph: Graph, renderer: Renderer):
    images, moments = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    camera = start(graph)
    assert is_of(next_moment(graph, moments, images), renderer.view(sample_scene(SEED)))
    assert graph.set_parameter(camera, 'seed', 9).successful
    assert is_of(next_moment(graph, moments, images), renderer.view(sample_scene(9)))


def test_moves_in_steps_of_its_rate_and_from_the_start_when_told(graph: Graph, renderer: Renderer):
    images, moments = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    camera = start(graph, moving=True)
    scene = sample_scene(SEED)

    def step(moment: GroundTruthSample) -> int:
        return next(number for number in range(200) if is_of(moment, renderer.view(scene.moved(number / RATE_HZ))))

    steps = [step(next_moment(graph, moments, images)) for _ in range(3)]
    assert steps == sorted(set(steps))
    graph.wait_for(lambda: camera._ticks > 10, 'the scene to have lasted')
    assert graph.set_parameter(camera, 'seed', SEED).successful
    assert step(next_moment(graph, moments, images)) <= 1


def test_the_policy_lists_what_it_publishes(graph: Graph):
    camera = start(graph)
    elsewhere = {'/tf', '/tf_static', '/image/compressed'}  # with tf2_msgs, and of other cameras
    expected = allowed('camera', 'topic', 'publish')

    def has() -> set[str]:
        listed = camera.get_publisher_names_and_types_by_node(camera.get_name(), camera.get_namespace())
        return {name.replace('/sim_camera/', '/camera/') for name, _ in listed}

    graph.wait_for(lambda: has() >= expected - elsewhere, 'the camera to find itself')
    assert has() | elsewhere == expected


def test_depth_in_millimeters_when_told(graph: Graph, renderer: Renderer):
    depths = graph.subscribe('depth/image', Image)
    camera = start(graph)
    graph.wait_for(lambda: depths, 'depth in meters')
    assert graph.set_parameter(camera, 'depth_encoding', '16UC1').successful
    graph.wait_for(lambda: depths[-1].encoding == '16UC1', 'depth in millimeters')
    np.testing.assert_allclose(read_depth(depths[-1]), renderer.view(sample_scene(SEED)).depth_m, atol=0.00051)


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('seed', -1, 'seed'),
        ('depth_encoding', 'mono8', "depth_encoding: expected one of 32FC1, 16UC1, got 'mono8'"),
        ('width', 640, 'read-only'),
        ('moving', True, 'read-only'),
    ],
)
def test_a_wrong_change_is_refused_and_the_show_goes_on(graph: Graph, name: str, value: Any, said: str):
    images = graph.subscribe('image', Image)
    camera = start(graph, rate_hz=20.0)
    result = graph.set_parameter(camera, name, value)
    assert not result.successful
    assert said in result.reason
    count = len(images)
    graph.wait_for(lambda: len(images) > count, 'the show to go on')


@pytest.mark.parametrize(
    ('parameters', 'said'),
    [({'rate_hz': 0.0}, 'rate_hz'), ({'seed': 'one'}, 'seed'), ({'depth_encoding': 'mono8'}, 'depth_encoding')],
    ids=['range', 'type', 'choice'],
)
def test_is_not_made_with_a_value_that_is_not_allowed(graph: Graph, parameters: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        start(graph, **parameters)


def test_says_what_to_install_where_mujoco_is_missing(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, 'instructsam_training.tabletop.render.render')
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    with pytest.raises(ConfigError, match=r'draws with MuJoCo, which is not here .* extra sim'):
        start(graph)


def test_drawing_keeps_nobody_waiting_and_leaves_out_pictures(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    view, threads = Renderer.view, set()

    def slow_view(self: Renderer, scene: Any) -> View:
        threads.add(threading.current_thread().name)
        time.sleep(0.5)
        return view(self, scene)

    monkeypatch.setattr(Renderer, 'view', slow_view)
    images = graph.subscribe('image', Image)
    camera = start(graph, rate_hz=50.0, moving=True)
    graph.wait_for(lambda: images, 'a picture')
    for seed in range(5):
        started_s = time.monotonic()
        assert graph.set_parameter(camera, 'seed', seed).successful
        assert time.monotonic() - started_s < 0.3
    assert threads == {'drawer_0'}
    assert camera._drawer._work_queue.qsize() == 0


def test_a_scene_that_cannot_be_drawn_is_logged_and_the_next_is_drawn(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
):
    images = graph.subscribe('image', Image)
    view = Renderer.view

    def fails_once(self: Renderer, scene: Any) -> View:
        monkeypatch.setattr(Renderer, 'view', view)
        raise RuntimeError('out of paint')

    monkeypatch.setattr(Renderer, 'view', fails_once)
    start(graph, rate_hz=20.0)
    graph.wait_for(lambda: images, 'a picture')
    assert 'out of paint' in log()


def test_takes_the_time_of_a_simulation(graph: Graph):
    images = graph.subscribe('image', Image)
    clock = graph.peer.create_publisher(Clock, '/clock', 10)
    start(graph, use_sim_time=True)
    times_ns = iter(range(100_000_000_000, 10**15, 50_000_000))
    graph.publish_images(clock, until=lambda: len(images) >= 2, make=lambda: Clock(clock=make_stamp(next(times_ns))))
    stamps_ns = [read_stamp_ns(image.header.stamp) for image in images]
    assert 100_000_000_000 <= stamps_ns[0] < stamps_ns[1] < next(times_ns)
    assert stamps_ns[1] - stamps_ns[0] >= 200_000_000  # of the simulation, which is faster here than time is


@pytest.mark.parametrize('moving', [False, True], ids=['still', 'moving'])
def test_tells_where_it_is(graph: Graph, moving: bool):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed; it comes with ROS, not from PyPI')
    durability = DurabilityPolicy.VOLATILE if moving else DurabilityPolicy.TRANSIENT_LOCAL
    topic, qos = '/tf' if moving else '/tf_static', QoSProfile(depth=10, durability=durability)
    images, heard = graph.subscribe('image', Image), []
    camera = start(graph, moving=moving)
    graph.wait_for(lambda: len(images) > 2, 'pictures')
    graph.peer.create_subscription(tf2_msgs.TFMessage, topic, heard.append, qos)
    graph.wait_for(lambda: heard, 'a transform')
    [first] = heard[0].transforms
    assert (first.header.frame_id, first.child_frame_id) == ('table', 'camera_optical_frame')
    graph.wait_for(lambda: first.header.stamp in [image.header.stamp for image in images], 'the picture of it')
    if not moving:
        translation = first.transform.translation
        np.testing.assert_allclose(
            (translation.x, translation.y, translation.z), sample_scene(SEED).camera.pose[:3, 3], rtol=1e-12
        )
        count = len(images)
        graph.wait_for(lambda: len(images) > count + 1, 'more pictures')
        assert len(heard) == 1
    assert graph.set_parameter(camera, 'seed', 9).successful
    graph.wait_for(lambda: len(heard) > 1, 'another transform')
    assert heard[1].transforms[0].transform != first.transform
