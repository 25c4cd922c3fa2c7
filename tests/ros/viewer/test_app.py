"""The viewer as a process: what a camera and the node say over DDS is in the file that it writes."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from sensor_msgs.msg import Image, PointCloud2

from instructsam_model import Frame, Instruction
from instructsam_model.draw import color_rgb
from instructsam_ros.messages import convert
from instructsam_ros.msg import Segmentation
from instructsam_ros.tools import node_process
from instructsam_ros.tools.node_process import NodeProcess
from instructsam_ros.viewer.app import build_parser
from tests.ros.messages.test_point_cloud import cloud, organized
from tests.support import GOLDEN
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph

pytest.importorskip('rerun', reason='the extra view is not installed')
from tests.support.rrd import Rows, read_recording

START_S = 120.0
SHOT_S = 180.0


class Scene:
    """A camera and a node that say what a test lets them."""

    def __init__(self, graph: Graph, image: str = 'camera/color', node: str = 'arm/segmenter') -> None:
        self.graph = graph
        self.camera = graph.camera(topic=image)
        self.answers = graph.peer.create_publisher(Segmentation, f'{node}/segmentation', 5)
        self.clouds = graph.peer.create_publisher(PointCloud2, f'{node}/points', 1)

    def wait_for_viewer(self, viewer: NodeProcess) -> None:
        def heard() -> bool:
            viewer.check()
            return all(each.get_subscription_count() for each in (self.camera, self.answers, self.clouds))

        self.graph.wait_for(heard, 'the viewer to listen', timeout_s=START_S)

    def answer(self, picture: Any, text: str) -> Segmentation:
        frame = Frame(convert.read_image(picture))
        message = convert.make_segmentation(FakeSegmenter().segment(frame, Instruction(text)), picture.header)
        self.answers.publish(message)
        return message


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rerun's own threads take their time to end on a busy machine."""
    monkeypatch.setattr(node_process, 'TERMINATE_S', 2 * START_S)


@pytest.fixture
def scene(graph: Graph) -> Scene:
    return Scene(graph)


def arguments(*place: str) -> list[str]:
    return ['-m', 'instructsam_ros.viewer.app', '--image', '/camera/color', '--node', '/arm/segmenter', *place]


def show(scene: Scene, file: Path, message: Any, publish: Callable[[Any], None], entity: str) -> None:
    """Publish something until it is in the file; the first messages after discovery may be lost."""
    stamp_ns = convert.stamp_ns(message.header.stamp)

    def shown() -> bool:
        if file.exists() and stamp_ns in stamps(read_recording(file), entity):
            return True
        publish(message)
        return False

    scene.graph.wait_for(shown, f'{entity} in the file', timeout_s=START_S, period_s=0.2)


def stamps(rows: dict[str, Rows], entity: str) -> list[int | None]:
    return [stamp_ns for stamp_ns, _ in rows.get(entity, [])]


def test_a_file_holds_what_was_said(scene: Scene, tmp_path: Path):
    file = tmp_path / 'view.rrd'
    first, second, third = (scene.graph.image('red', 'green') for _ in range(3))
    points = cloud(organized())
    points.header = first.header
    with NodeProcess(*arguments('--save', str(file))) as viewer:
        scene.wait_for_viewer(viewer)
        for picture in (first, second, third):
            show(scene, file, picture, scene.camera.publish, '/camera')
        show(scene, file, first, lambda picture: scene.answer(picture, 'red and green'), '/answer/picture/masks')
        show(scene, file, second, lambda picture: scene.answer(picture, 'blue'), '/answer/picture/masks')
        show(scene, file, points, scene.clouds.publish, '/answer/space/points')
        assert viewer.stop() == 0, viewer.tail()
    rows = read_recording(file)
    first_ns, second_ns, third_ns = (convert.stamp_ns(picture.header.stamp) for picture in (first, second, third))
    assert set(stamps(rows, '/camera')) == {first_ns, second_ns, third_ns}
    assert set(stamps(rows, '/answer/picture')) == {first_ns, second_ns}
    assert all('EncodedImage:blob' in row[1] for row in rows['/answer/picture'])
    labels = {stamp_ns: row['Boxes2D:labels'] for stamp_ns, row in rows['/answer/picture/boxes']}
    assert labels == {first_ns: ['red 0.90', 'green 0.70'], second_ns: []}
    assert set(stamps(rows, '/answer/space/points')) == {first_ns}


def test_bad_messages_are_left_out_and_the_viewer_lives_on(scene: Scene, tmp_path: Path):
    file = tmp_path / 'view.rrd'
    broken = Image(header=scene.graph.header(), encoding='rgb8', width=4, height=4, step=12)
    picture = scene.graph.image('red')
    with NodeProcess(*arguments('--save', str(file))) as viewer:
        scene.wait_for_viewer(viewer)

        def warned() -> bool:
            scene.camera.publish(broken)
            return 'not shown: image: data is 0 bytes' in viewer.tail()

        scene.graph.wait_for(warned, 'a warning', period_s=0.2)
        show(scene, file, picture, scene.camera.publish, '/camera')
        unseen = scene.graph.image('red')
        show(scene, file, unseen, lambda picture: scene.answer(picture, 'red'), '/answer/picture/masks')
        assert 'an answer is shown without its picture' in viewer.tail()
    assert set(stamps(read_recording(file), '/camera')) == {convert.stamp_ns(picture.header.stamp)}


def free_port() -> int:
    """A port of which the next one is probably free too."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


def test_a_page_for_browsers(graph: Graph):
    port = free_port()
    with NodeProcess(*arguments('--web', str(port))) as viewer:

        def served() -> bool:
            viewer.check()
            return f'open http://127.0.0.1:{port}?url=rerun+http://127.0.0.1:{port + 1}/proxy' in viewer.tail()

        graph.wait_for(served, 'the page', timeout_s=START_S)
        with urllib.request.urlopen(f'http://127.0.0.1:{port}', timeout=30) as page:
            assert b'rerun' in page.read().lower()
        assert viewer.stop() == 0, viewer.tail()


def test_what_cannot_be_done_ends_with_a_sentence(graph: Graph, tmp_path: Path):
    with NodeProcess(*arguments('--save', str(tmp_path / 'missing' / 'a.rrd'))) as viewer:
        graph.wait_for(lambda: 'not started: --save: cannot write' in viewer.tail(), 'the reason', timeout_s=START_S)


def test_only_one_place_at_a_time(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        build_parser().parse_args(['--save', 'a.rrd', '--web'])
    assert 'not allowed with argument' in capsys.readouterr().err
    assert build_parser().parse_args(['--web']).web == 9090


@pytest.mark.slow
def test_a_viewer_that_runs_already_shows_the_whole_system(graph: Graph, tmp_path: Path):
    """A camera, the node with the golden checkpoint, and a viewer without a window; the picture is docs/view.png."""
    from rerun.experimental import ViewerClient

    port, shot = free_port(), Path(os.environ.get('INSTRUCTSAM_SCREENSHOTS', tmp_path), 'view.png').resolve()
    try:
        client = ViewerClient.spawn(
            headless=True, port=port, executable_path=str(Path(sys.executable).with_name('rerun'))
        )
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        pytest.skip(f'Rerun cannot draw here (Debian: mesa-vulkan-drivers): {error}')
    player = {'path': str(GOLDEN / 'images'), 'rate_hz': 0.5}
    node = {'checkpoint': str(GOLDEN / 'checkpoint'), 'device': 'cpu', 'instruction': "Please segment 'green ball'."}
    answers = graph.hear()
    with (
        NodeProcess('-m', 'instructsam_ros.sim.image_player', parameters=player),
        NodeProcess('-m', 'instructsam_ros.node.segmenter_node', parameters=node) as segmenter,
        NodeProcess('-m', 'instructsam_ros.viewer.app', '--connect', f'127.0.0.1:{port}') as viewer,
    ):

        def answered() -> bool:
            segmenter.check()
            viewer.check()
            return sum(len(answer.instances) for answer in answers) >= 4

        graph.wait_for(answered, 'answers', timeout_s=SHOT_S)
        graph.wait_for(lambda: drawn(client, shot), 'a picture of the viewer', timeout_s=SHOT_S)
        assert viewer.stop() == 0, viewer.tail()
    client.quit()


def drawn(client: Any, shot: Path) -> bool:
    """Draw the viewer; tell whether the color of the first instance is in it."""
    try:
        client.save_screenshot(str(shot))
    except TimeoutError:  # it gives a processor 15 s to draw
        return False
    return bool((cv2.imread(str(shot))[..., ::-1] == color_rgb(0)).all(axis=2).any())
