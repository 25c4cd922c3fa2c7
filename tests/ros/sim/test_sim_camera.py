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
from std_msgs.msg import String

pytest.importorskip('mujoco', reason='mujoco is not installed; it comes with the extra sim')

from instructsam_model import ConfigError
from instructsam_ros.messages.depth_image import read_depth
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample, GroundTruthSynchronizer
from instructsam_ros.sim.scene_instruction import choose_instruction
from instructsam_ros.sim.sim_camera import SimCamera
from instructsam_training.tabletop.render.render import Renderer
from instructsam_training.tabletop.scene.ground_truth import SceneView
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


def is_sample_of(sample: GroundTruthSample, view: SceneView) -> bool:
    """Return whether a sample is that of a view; if the image is, everything else must be."""
    is_same = np.array_equal(sample.image_rgb, view.image_rgb)
    for seen, known in (
        (sample.labels, view.labels),
        (sample.depth_m, view.depth_m),
        (sample.camera.intrinsics, view.intrinsics),
    ):
        assert np.array_equal(seen, known) or not is_same
    return is_same


def next_sample(graph: Graph, synchronizer: GroundTruthSynchronizer, images: list[Image]) -> GroundTruthSample:
    """The first complete sample of an image taken from now on."""
    now_ns = graph.peer.get_clock().now().nanoseconds
    found: list[GroundTruthSample] = []

    def is_complete() -> bool:
        stamps_ns = [read_stamp_ns(image.header.stamp) for image in list(images)]
        found.extend(sample for stamp_ns in stamps_ns if stamp_ns > now_ns and (sample := synchronizer.get(stamp_ns)))
        return bool(found)

    graph.wait_for(is_complete, 'an image with depth, ground truth and calibration')
    return found[0]


def test_all_messages_of_an_image_have_one_header_and_show_the_scene_of_the_seed(graph: Graph, renderer: Renderer):
    images, synchronizer = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    depths = graph.subscribe('depth/image', Image)
    start(graph)
    sample = next_sample(graph, synchronizer, images)
    view = renderer.render(sample_scene(SEED))
    assert is_sample_of(sample, view)
    assert (images[0].encoding, images[0].width, images[0].height) == ('rgb8', 160, 120)
    assert images[0].header == next(depth.header for depth in depths if depth.header.stamp == images[0].header.stamp)
    assert images[0].header.frame_id == 'camera_optical_frame'
    assert len(view.objects) > 2
    assert sorted(sample.boxes) == [thing.label for thing in view.objects]
    for thing in view.objects:
        x, y = sample.camera.project(np.array([thing.position_camera_m]))[0]
        box = sample.boxes[thing.label]
        np.testing.assert_allclose(box.center_m, thing.position_camera_m, atol=1e-9)
        assert np.prod(box.size_m) == pytest.approx(thing.volume_m3)
        x1, y1, x2, y2 = thing.box_xyxy
        if thing.visible > 0.95:
            assert x1 < x < x2
            assert y1 < y < y2
            assert abs(np.median(sample.depth_m[sample.labels == thing.label]) - thing.position_camera_m[2]) < 0.15


def test_changing_the_seed_changes_the_scene(graph: Graph, renderer: Renderer):
    images, synchronizer = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    camera = start(graph)
    assert is_sample_of(next_sample(graph, synchronizer, images), renderer.render(sample_scene(SEED)))
    assert graph.set_parameter(camera, 'seed', 9).successful
    assert is_sample_of(next_sample(graph, synchronizer, images), renderer.render(sample_scene(9)))


def test_the_instruction_of_a_scene_is_latched(graph: Graph, renderer: Renderer):
    images = graph.subscribe('image', Image)
    camera = start(graph)
    graph.wait_for(lambda: images, 'an image')
    # A subscription that is made after the message was published.
    texts: list[String] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.peer.create_subscription(String, 'sim_camera/ground_truth/instruction', texts.append, latched)
    graph.wait_for(lambda: texts, 'the instruction')
    assert graph.set_parameter(camera, 'seed', 9).successful
    graph.wait_for(lambda: len(texts) > 1, 'the instruction of the next scene')
    expected = [choose_instruction(renderer.render(sample_scene(seed)), seed) for seed in (SEED, 9)]
    assert [text.data for text in texts] == expected


def test_scene_moves_in_steps_of_the_rate_and_restarts_with_the_seed(graph: Graph, renderer: Renderer):
    images, synchronizer = graph.subscribe('image', Image), GroundTruthSynchronizer(graph.peer)
    camera = start(graph, moving=True)
    scene = sample_scene(SEED)

    def step(sample: GroundTruthSample) -> int:
        return next(
            number for number in range(200) if is_sample_of(sample, renderer.render(scene.at_time(number / RATE_HZ)))
        )

    steps = [step(next_sample(graph, synchronizer, images)) for _ in range(3)]
    assert steps == sorted(set(steps))
    graph.wait_for(lambda: len(images) > 10, 'ten images')
    assert graph.set_parameter(camera, 'seed', SEED).successful
    assert step(next_sample(graph, synchronizer, images)) <= 1


def test_sros2_policy_lists_the_topics_of_the_camera(graph: Graph):
    camera = start(graph)
    # These need tf2_msgs, or belong to other cameras.
    not_here = {'/tf', '/tf_static', '/image/compressed', '/depth/image/compressed', '/depth/image/compressedDepth'}
    expected = allowed('camera', 'topic', 'publish')

    def published() -> set[str]:
        listed = camera.get_publisher_names_and_types_by_node(camera.get_name(), camera.get_namespace())
        return {name.replace('/sim_camera/', '/camera/') for name, _ in listed}

    graph.wait_for(lambda: published() >= expected - not_here, 'discovery')
    assert published() | not_here == expected


def test_depth_encoding_16uc1_publishes_millimeters(graph: Graph, renderer: Renderer):
    depths = graph.subscribe('depth/image', Image)
    camera = start(graph)
    graph.wait_for(lambda: depths, 'depth in meters')
    assert graph.set_parameter(camera, 'depth_encoding', '16UC1').successful
    graph.wait_for(lambda: depths[-1].encoding == '16UC1', 'depth in millimeters')
    np.testing.assert_allclose(read_depth(depths[-1]), renderer.render(sample_scene(SEED)).depth_m, atol=0.00051)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('seed', -1, 'seed'),
        ('depth_encoding', 'mono8', "depth_encoding: expected one of 32FC1, 16UC1, got 'mono8'"),
        ('width', 640, 'read-only'),
        ('moving', True, 'read-only'),
    ],
)
def test_invalid_parameter_change_is_refused_and_images_continue(graph: Graph, name: str, value: Any, message: str):
    images = graph.subscribe('image', Image)
    camera = start(graph, rate_hz=20.0)
    result = graph.set_parameter(camera, name, value)
    assert not result.successful
    assert message in result.reason
    count = len(images)
    graph.wait_for(lambda: len(images) > count, 'further images')


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [({'rate_hz': 0.0}, 'rate_hz'), ({'seed': 'one'}, 'seed'), ({'depth_encoding': 'mono8'}, 'depth_encoding')],
    ids=['range', 'type', 'choice'],
)
def test_invalid_parameter_raises_config_error(graph: Graph, parameters: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        start(graph, **parameters)


def test_missing_mujoco_names_the_extra(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, 'instructsam_training.tabletop.render.render')
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    with pytest.raises(ConfigError, match=r'needs MuJoCo, which cannot be imported .* extra sim'):
        start(graph)


def test_slow_rendering_skips_images_and_does_not_block_services(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    view, threads = Renderer.render, set()

    def slow_view(self: Renderer, scene: Any) -> SceneView:
        threads.add(threading.current_thread().name)
        time.sleep(0.5)
        return view(self, scene)

    monkeypatch.setattr(Renderer, 'render', slow_view)
    images = graph.subscribe('image', Image)
    camera = start(graph, rate_hz=50.0, moving=True)
    graph.wait_for(lambda: images, 'an image')
    for seed in range(5):
        started_s = time.monotonic()
        assert graph.set_parameter(camera, 'seed', seed).successful
        assert time.monotonic() - started_s < 0.3
    assert threads == {'renderer_0'}
    # At 50 Hz a queue of render requests would make each image older than the one before.
    count = len(images)
    graph.wait_for(lambda: len(images) > count + 3, 'further images')
    age_ns = graph.peer.get_clock().now().nanoseconds - read_stamp_ns(images[-1].header.stamp)
    assert age_ns < 1_500_000_000


def test_failed_rendering_is_logged_and_the_next_image_is_rendered(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
):
    images = graph.subscribe('image', Image)
    view = Renderer.render

    def fails_once(self: Renderer, scene: Any) -> SceneView:
        monkeypatch.setattr(Renderer, 'render', view)
        raise RuntimeError('no framebuffer')

    monkeypatch.setattr(Renderer, 'render', fails_once)
    start(graph, rate_hz=20.0)
    graph.wait_for(lambda: images, 'an image')
    assert 'no framebuffer' in log()


def test_stamps_follow_simulated_time(graph: Graph):
    images = graph.subscribe('image', Image)
    clock = graph.peer.create_publisher(Clock, '/clock', 10)
    start(graph, use_sim_time=True)
    times_ns = iter(range(100_000_000_000, 10**15, 50_000_000))
    graph.publish_images(clock, until=lambda: len(images) >= 2, make=lambda: Clock(clock=make_stamp(next(times_ns))))
    stamps_ns = [read_stamp_ns(image.header.stamp) for image in images]
    assert 100_000_000_000 <= stamps_ns[0] < stamps_ns[1] < next(times_ns)
    assert stamps_ns[1] - stamps_ns[0] >= 200_000_000  # in simulated time, which is faster than real time here


@pytest.mark.parametrize('moving', [False, True], ids=['still', 'moving'])
def test_camera_pose_is_published_on_tf(graph: Graph, moving: bool):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed; it comes with ROS, not from PyPI')
    durability = DurabilityPolicy.VOLATILE if moving else DurabilityPolicy.TRANSIENT_LOCAL
    topic, qos = '/tf' if moving else '/tf_static', QoSProfile(depth=10, durability=durability)
    images, transforms = graph.subscribe('image', Image), []
    camera = start(graph, moving=moving)
    graph.wait_for(lambda: len(images) > 2, 'images')
    graph.peer.create_subscription(tf2_msgs.TFMessage, topic, transforms.append, qos)
    graph.wait_for(lambda: transforms, 'a transform')
    [first] = transforms[0].transforms
    assert (first.header.frame_id, first.child_frame_id) == ('table', 'camera_optical_frame')
    graph.wait_for(lambda: first.header.stamp in [image.header.stamp for image in images], 'its image')
    if not moving:
        translation = first.transform.translation
        np.testing.assert_allclose(
            (translation.x, translation.y, translation.z), sample_scene(SEED).camera.pose[:3, 3], rtol=1e-12
        )
        count = len(images)
        graph.wait_for(lambda: len(images) > count + 1, 'more images')
        assert len(transforms) == 1
    assert graph.set_parameter(camera, 'seed', 9).successful
    graph.wait_for(lambda: len(transforms) > 1, 'another transform')
    assert transforms[1].transforms[0].transform != first.transform
