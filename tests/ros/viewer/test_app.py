"""The viewer as a process: what a camera and the node say over DDS is in the file that it writes."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
from sensor_msgs.msg import Image, PointCloud2

from instructsam_model import Frame, Instruction
from instructsam_model.draw import color_rgb
from instructsam_ros.messages.image import read_image
from instructsam_ros.messages.segmentation import make_segmentation
from instructsam_ros.messages.stamp import read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools import node_process
from instructsam_ros.tools.node_process import NodeProcess
from instructsam_ros.viewer.app import build_parser
from tests.support import GOLDEN
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph
from tests.support.point_clouds import make_cloud, organized_points

pytest.importorskip('rerun', reason='the extra view is not installed')
from tests.support.rrd import Rows, read_recording

START_TIMEOUT_S = 120.0
SCREENSHOT_TIMEOUT_S = 180.0


class Scene:
    """Publishers in place of a camera and a segmenter node."""

    def __init__(self, graph: Graph, image: str = 'camera/color', node: str = 'arm/segmenter') -> None:
        self.graph = graph
        self.camera = graph.camera(topic=image)
        self.results = graph.peer.create_publisher(Segmentation, f'{node}/segmentation', 5)
        self.clouds = graph.peer.create_publisher(PointCloud2, f'{node}/points', 1)

    def wait_for_viewer(self, viewer: NodeProcess) -> None:
        def discovered() -> bool:
            viewer.check()
            return all(each.get_subscription_count() for each in (self.camera, self.results, self.clouds))

        self.graph.wait_for(discovered, 'the subscriptions of the viewer', timeout_s=START_TIMEOUT_S)

    def publish_result(self, image: Any, text: str) -> Segmentation:
        frame = Frame(read_image(image))
        message = make_segmentation(FakeSegmenter().segment(frame, Instruction(text)), image.header)
        self.results.publish(message)
        return message


@pytest.fixture(autouse=True)
def long_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of Rerun end slowly on a busy machine."""
    monkeypatch.setattr(node_process, 'TERMINATE_TIMEOUT_S', 2 * START_TIMEOUT_S)


@pytest.fixture
def scene(graph: Graph) -> Scene:
    return Scene(graph)


def arguments(*output: str) -> list[str]:
    return ['-m', 'instructsam_ros.viewer.app', '--image', '/camera/color', '--node', '/arm/segmenter', *output]


def publish_until_logged(scene: Scene, file: Path, message: Any, publish: Callable[[Any], None], entity: str) -> None:
    """Publish a message until it is in the file; the first ones after discovery may be lost."""
    stamp_ns = read_stamp_ns(message.header.stamp)

    def is_logged() -> bool:
        if file.exists() and stamp_ns in stamps(read_recording(file), entity):
            return True
        publish(message)
        return False

    scene.graph.wait_for(is_logged, f'{entity} in the file', timeout_s=START_TIMEOUT_S, period_s=0.2)


def stamps(rows: dict[str, Rows], entity: str) -> list[int | None]:
    return [stamp_ns for stamp_ns, _ in rows.get(entity, [])]


def test_viewer_saves_a_recording(scene: Scene, tmp_path: Path):
    file = tmp_path / 'view.rrd'
    first, second, third = (scene.graph.image('red', 'green') for _ in range(3))
    points = make_cloud(organized_points())
    points.header = first.header
    masks = '/result/image/masks'
    with NodeProcess(*arguments('--save', str(file))) as viewer:
        scene.wait_for_viewer(viewer)
        for image in (first, second, third):
            publish_until_logged(scene, file, image, scene.camera.publish, '/camera')
        publish_until_logged(scene, file, first, partial(scene.publish_result, text='red and green'), masks)
        publish_until_logged(scene, file, second, partial(scene.publish_result, text='blue'), masks)
        publish_until_logged(scene, file, points, scene.clouds.publish, '/result/space/points')
        assert viewer.stop() == 0, viewer.tail()
    rows = read_recording(file)
    first_ns, second_ns, third_ns = (read_stamp_ns(image.header.stamp) for image in (first, second, third))
    assert set(stamps(rows, '/camera')) == {first_ns, second_ns, third_ns}
    assert set(stamps(rows, '/result/image')) == {first_ns, second_ns}
    assert all('EncodedImage:blob' in row[1] for row in rows['/result/image'])
    labels = {stamp_ns: row['Boxes2D:labels'] for stamp_ns, row in rows['/result/image/boxes']}
    assert labels == {first_ns: ['red 0.90', 'green 0.70'], second_ns: []}
    assert set(stamps(rows, '/result/space/points')) == {first_ns}


def test_malformed_messages_are_skipped_with_a_warning(scene: Scene, tmp_path: Path):
    file = tmp_path / 'view.rrd'
    broken = Image(header=scene.graph.header(), encoding='rgb8', width=4, height=4, step=12)
    image = scene.graph.image('red')
    with NodeProcess(*arguments('--save', str(file))) as viewer:
        scene.wait_for_viewer(viewer)

        def warned() -> bool:
            scene.camera.publish(broken)
            return 'not displayed: image: data is 0 bytes' in viewer.tail()

        scene.graph.wait_for(warned, 'a warning', period_s=0.2)
        publish_until_logged(scene, file, image, scene.camera.publish, '/camera')
        unpublished = scene.graph.image('red')
        publish_until_logged(scene, file, unpublished, partial(scene.publish_result, text='red'), '/result/image/masks')
        assert 'a result is displayed without its image' in viewer.tail()
    assert set(stamps(read_recording(file), '/camera')) == {read_stamp_ns(image.header.stamp)}


def free_port() -> int:
    """An unused port; the next one is probably unused as well."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def test_viewer_serves_a_web_page(graph: Graph):
    port = free_port()
    with NodeProcess(*arguments('--web', str(port))) as viewer:

        def served() -> bool:
            viewer.check()
            return f'open http://127.0.0.1:{port}?url=rerun+http://127.0.0.1:{port + 1}/proxy' in viewer.tail()

        graph.wait_for(served, 'the page', timeout_s=START_TIMEOUT_S)
        with urllib.request.urlopen(f'http://127.0.0.1:{port}', timeout=30) as page:
            assert b'rerun' in page.read().lower()
        assert viewer.stop() == 0, viewer.tail()


def test_unwritable_file_ends_the_viewer_with_an_error(graph: Graph, tmp_path: Path):
    with NodeProcess(*arguments('--save', str(tmp_path / 'missing' / 'a.rrd'))) as viewer:
        message = 'not started: --save: cannot write'
        graph.wait_for(lambda: message in viewer.tail(), 'the error', timeout_s=START_TIMEOUT_S)


def test_outputs_exclude_each_other(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        build_parser().parse_args(['--save', 'a.rrd', '--web'])
    assert 'not allowed with argument' in capsys.readouterr().err
    assert build_parser().parse_args(['--web']).web == 9090


@pytest.mark.slow
def test_viewer_connects_to_a_running_rerun_viewer(graph: Graph, tmp_path: Path):
    """A camera, the node with the golden checkpoint, and a viewer without a window; the screenshot is docs/view.png."""
    from rerun.experimental import ViewerClient

    port, screenshot = free_port(), Path(os.environ.get('INSTRUCTSAM_SCREENSHOTS', tmp_path), 'view.png').resolve()
    try:
        client = ViewerClient.spawn(
            headless=True, port=port, executable_path=str(Path(sys.executable).with_name('rerun'))
        )
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        pytest.skip(f'Rerun cannot render here (Debian: mesa-vulkan-drivers): {error}')
    player = {'path': str(GOLDEN / 'images'), 'rate_hz': 0.5}
    node = {'checkpoint': str(GOLDEN / 'checkpoint'), 'device': 'cpu', 'instruction': "Please segment 'green ball'."}
    results = graph.subscribe()
    with (
        NodeProcess('-m', 'instructsam_ros.sim.image_player', parameters=player),
        NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=node) as segmenter,
        NodeProcess('-m', 'instructsam_ros.viewer.app', '--connect', f'127.0.0.1:{port}') as viewer,
    ):

        def has_results() -> bool:
            segmenter.check()
            viewer.check()
            return sum(len(result.instances) for result in results) >= 4

        graph.wait_for(has_results, 'results', timeout_s=SCREENSHOT_TIMEOUT_S)
        graph.wait_for(lambda: take_screenshot(client, screenshot), 'a screenshot', timeout_s=SCREENSHOT_TIMEOUT_S)
        assert viewer.stop() == 0, viewer.tail()
    client.quit()


def take_screenshot(client: Any, screenshot: Path) -> bool:
    """Take a screenshot; return whether it shows the color of the first instance."""
    try:
        client.save_screenshot(str(screenshot))
    except TimeoutError:  # Rerun's limit is 15 s, which software rendering can exceed
        return False
    return bool((cv2.imread(str(screenshot))[..., ::-1] == color_rgb(0)).all(axis=2).any())
