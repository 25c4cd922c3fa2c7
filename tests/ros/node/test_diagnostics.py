"""`/diagnostics`: the state of the node for operators. Covers node/heartbeat.py."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image

from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


def values(array: DiagnosticArray) -> dict[str, str]:
    return {pair.key: pair.value for pair in array.status[0].values}


def test_reports_rates_latencies_and_counts(graph: Graph):
    graph.segmenter(FakeSegmenter(delay_s=0.05), warmup=False, instruction='the red block', checkpoint='here')
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.publish_images(graph.camera(), until=lambda: len(received) >= 3)
    status, report = received[-1].status[0], values(received[-1])
    assert (status.name, status.level, status.message) == ('/segmenter', DiagnosticStatus.OK, 'active')
    assert (report['state'], report['instruction'], report['checkpoint']) == ('active', 'the red block', 'here')
    assert float(report['input rate (Hz)']) > float(report['output rate (Hz)']) > 1
    assert 50 <= float(report['inference p50 (ms)']) < 500
    assert float(report['inference p50 (ms)']) <= float(report['latency p50 (ms)']) <= float(report['latency p95 (ms)'])
    assert 0 < int(report['images replaced']) < int(report['images received'])
    assert (report['images dropped'], report['results failed'], report['last error']) == ('0', '0', '')
    assert received[-1].header.stamp.sec > 0


class WithGpu(FakeSegmenter):
    def memory_bytes(self) -> int:
        return 2_500_000_000


@pytest.mark.parametrize(('fake', 'gpu'), [(FakeSegmenter(), None), (WithGpu(), '2500')], ids=['CPU', 'GPU'])
def test_reports_memory(graph: Graph, fake: FakeSegmenter, gpu: str | None):
    graph.segmenter(fake)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.wait_for(lambda: received, 'diagnostics')
    report = values(received[-1])
    assert 20 < int(report['memory (MB)']) < 100_000
    assert report.get('model memory (MB)') == gpu
    assert report['segmenter restarts'] == report['requests waiting'] == '0'


def test_reports_while_unconfigured(graph: Graph):
    graph.segmenter(autostart=False)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.wait_for(lambda: received, 'diagnostics')
    assert received[0].status[0].message == 'unconfigured'


def test_reports_while_simulated_time_does_not_advance(graph: Graph):
    graph.segmenter(use_sim_time=True)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.wait_for(lambda: len(received) >= 2, 'diagnostics')


def test_warns_while_no_image_arrives(graph: Graph):
    graph.segmenter(image_timeout=0.1)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    graph.wait_for(lambda: received and received[-1].status[0].level == DiagnosticStatus.WARN, 'a warning')
    assert "no publisher on '/image'" in received[-1].status[0].message


@pytest.mark.parametrize(
    ('instruction', 'broken', 'counter', 'said'),
    [('fail', False, 'results failed', 'the model broke'), ('red', True, 'images dropped', 'has no pixels')],
    ids=['model', 'image'],
)
def test_reports_errors(graph: Graph, instruction: str, broken: bool, counter: str, said: str):
    graph.segmenter(instruction=instruction)
    received = graph.subscribe('/diagnostics', DiagnosticArray)
    make = lambda: Image(header=graph.header(), encoding='rgb8') if broken else graph.image()  # noqa: E731
    graph.publish_images(
        graph.camera(), until=lambda: received and received[-1].status[0].level == DiagnosticStatus.ERROR, make=make
    )
    assert int(values(received[-1])[counter]) > 0
    assert said in values(received[-1])['last error']
    assert said in received[-1].status[0].message
