"""`/diagnostics`: the state of the node for operators. Covers node/heartbeat.py."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from instructsam_ros.msg import ErrorCode
from instructsam_ros.srv import Segment
from tests.support.diagnostics import ERROR, OK, WARN, Diagnostics
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


@pytest.fixture(autouse=True)
def _frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('instructsam_ros.node.heartbeat.PERIOD_S', 0.2)


def test_reports_rates_latencies_and_counts(graph: Graph):
    graph.segmenter(FakeSegmenter(delay_s=0.05), warmup=False, instruction='the red block', checkpoint='here')
    diagnostics = Diagnostics(graph)
    graph.publish_images(graph.camera(), until=lambda: len(diagnostics.arrays) >= 12)
    status, report = diagnostics['node'], diagnostics.values('node')
    assert (status.name, status.level, status.message) == ('segmenter: node', OK, 'active')
    assert all(each.hardware_id for each in diagnostics.arrays[-1].status)
    assert (report['state'], report['instruction']) == ('active', 'the red block')
    assert float(report['input rate (Hz)']) > float(report['output rate (Hz)']) > 1
    assert 50 <= float(report['inference p50 (ms)']) < 500
    assert float(report['inference p50 (ms)']) <= float(report['latency p50 (ms)']) <= float(report['latency p95 (ms)'])
    assert 0 < int(report['images replaced']) < int(report['images received'])
    assert (report['images dropped'], report['results failed'], report['last error']) == ('0', '0', '')
    assert diagnostics.arrays[-1].header.stamp.sec > 0
    # The masks are promised always, points and boxes only with depth.
    assert [each.name for each in diagnostics.arrays[-1].status] == [
        'segmenter: node', 'segmenter: checkpoint', 'segmenter: replies', 'segmenter: masks',
    ]  # fmt: skip
    assert diagnostics['masks'].hardware_id == '/image'
    assert float(diagnostics.values('masks')['rate (Hz)']) > 0
    assert diagnostics['checkpoint'].message == "'here', loaded by the back end auto"


class WithGpu(FakeSegmenter):
    def memory_bytes(self) -> int:
        return 2_500_000_000


@pytest.mark.parametrize(('fake', 'gpu'), [(FakeSegmenter(), None), (WithGpu(), '2500')], ids=['CPU', 'GPU'])
def test_reports_memory(graph: Graph, fake: FakeSegmenter, gpu: str | None):
    graph.segmenter(fake)
    diagnostics = Diagnostics(graph)
    diagnostics.wait_for('node', OK)
    report = diagnostics.values('node')
    assert 20 < int(report['memory (MB)']) < 100_000
    assert report.get('model memory (MB)') == gpu
    assert report['requests waiting'] == diagnostics.values('checkpoint')['segmenter restarts'] == '0'


def test_reports_while_unconfigured(graph: Graph):
    graph.segmenter(autostart=False, **{'depth.enabled': True})
    diagnostics = Diagnostics(graph)
    assert diagnostics.wait_for('node', OK) == 'unconfigured'
    assert diagnostics['checkpoint'].message == 'not loaded'
    assert diagnostics['masks'].hardware_id == '/image'
    for output in ('masks', '3D points', '3D boxes'):
        assert (diagnostics[output].level, diagnostics[output].message) == (OK, 'unconfigured')


def test_reports_while_simulated_time_does_not_advance(graph: Graph):
    graph.segmenter(use_sim_time=True)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.wait_for(lambda: len(received) >= 2, 'diagnostics')


def test_embedded_checkpoint_is_a_warning(graph: Graph):
    graph.segmenter(instruction='red')
    diagnostics, answers = Diagnostics(graph), graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers and diagnostics.shows('checkpoint', WARN, 'embedded'))
    assert answers[0].checkpoint == 'embedded'


def test_level_of_the_masks_recovers_by_itself(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('instructsam_ros.inference.statistics.WINDOW_S', 1.0)
    node = graph.segmenter(instruction='fail', checkpoint='here')
    diagnostics, camera = Diagnostics(graph), graph.camera()
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', ERROR, 'RuntimeError: the model broke'))
    values = diagnostics.values('masks')
    assert values['missing (%)'] == '100'
    assert int(values['missing in total, MODEL_ERROR']) > 0
    assert diagnostics['node'].level == OK
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', OK))


@pytest.mark.parametrize('instruction', ['', 'red'], ids=['idle', 'wanted'])
def test_no_image(graph: Graph, instruction: str):
    graph.segmenter(image_timeout=0.1, instruction=instruction)
    diagnostics = Diagnostics(graph)
    said = diagnostics.wait_for('masks', ERROR if instruction else WARN)
    assert "no publisher on '/image'" in said
    assert diagnostics['node'].message == ('active' if instruction else 'active, idle: no instruction')


def test_nothing_found_is_no_fault(graph: Graph):
    graph.segmenter(instruction='blue', checkpoint='here')
    diagnostics, answers = Diagnostics(graph), graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers and len(diagnostics.arrays) >= 2)
    assert {each.level for each in diagnostics.arrays[-1].status} == {OK}


def test_each_camera_has_its_own_status(graph: Graph):
    graph.segmenter(instruction='red', cameras=['left', 'arm/wrist'], image_timeout=0.5, checkpoint='here')
    diagnostics, left = Diagnostics(graph), graph.camera(topic='left/image')
    graph.publish_images(left, until=lambda: diagnostics.shows('masks of arm/wrist', ERROR, "'/arm/wrist/image'"))
    graph.publish_images(left, until=lambda: diagnostics.shows('masks of left', OK, 'Hz'))
    assert diagnostics['masks of left'].hardware_id == '/left/image'


def test_broken_images(graph: Graph):
    graph.segmenter(instruction='red')
    diagnostics, camera = Diagnostics(graph), graph.camera()
    graph.publish_images(
        camera,
        until=lambda: diagnostics.shows('masks', ERROR, 'has no pixels'),
        make=lambda: Image(header=graph.header(), encoding='rgb8'),
    )
    report = diagnostics.values('node')
    assert int(report['images dropped']) > 0
    assert 'has no pixels' in report['last error']


def test_slow_model(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('instructsam_ros.node.heartbeat.WINDOW_S', 2.0)
    node = graph.segmenter(FakeSegmenter(delay_s=1.0), warmup=False, instruction='red')
    diagnostics, camera = Diagnostics(graph), graph.camera()
    graph.publish_images(camera, until=lambda: diagnostics.shows('node', WARN, 'the model is slow'))
    # A rate that was asked for is not the fault of the model.
    assert graph.set_parameter(node, 'max_rate', 1.0).successful
    graph.publish_images(camera, until=lambda: diagnostics.shows('node', OK, 'active'))


def test_model_that_gives_no_answer(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    for module in ('inference.statistics', 'node.diagnostics'):
        monkeypatch.setattr(f'instructsam_ros.{module}.WINDOW_S', 0.5)
    fake = FakeSegmenter(delay_s=60.0)
    node = graph.segmenter(fake, warmup=False)
    diagnostics, camera = Diagnostics(graph), graph.camera()
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', OK, 'idle'))
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', OK, 'waiting for the next answer'))
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', WARN, 'no answer for'))
    fake.delay_s = 0.0
    graph.set_instruction(node, 'red block')
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', OK, 'Hz'))


def test_replies(graph: Graph):
    graph.segmenter(request_timeout=0.2)
    diagnostics = Diagnostics(graph)
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    for instruction in ('red', '', ''):
        graph.call(client, Segment.Request(instruction=instruction, image=graph.image('red')))
    count = 'mistakes of clients, INVALID_REQUEST'
    graph.wait_for(lambda: diagnostics.values('replies').get(count) == '2', 'the count')
    assert diagnostics.shows('replies', OK, '0.1 Hz'), 'mistakes of clients are no faults of the node'
    for _ in range(2):
        assert graph.call(client, Segment.Request(instruction='red')).error_code == ErrorCode.TIMEOUT
    diagnostics.wait_for('replies', ERROR, 'no result in 67% of the answers of the last 10 s: no image arrived within')
    assert diagnostics.values('replies')['missing in total, TIMEOUT'] == '2'
