"""What the soak test counts as lost or wrong, the messages that it sends, and the faults that it injects.

Covers tools/soak_checker.py, tools/soak_faults.py and tools/soak_load.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Vector3
from sensor_msgs.msg import CameraInfo

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Instance, Segmentation
from instructsam_ros.srv import Segment
from instructsam_ros.tools import soak_checker, soak_faults, soak_load
from instructsam_ros.tools.soak_checker import MIN_ANSWERS, ResultChecker
from instructsam_ros.tools.soak_faults import FAULTS, FaultInjector
from instructsam_ros.tools.soak_load import OPTIONAL_TOPICS, LoadGenerator
from tests.support.graph import Graph


class Clock:
    """Replaces the module `time`; the test advances it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(soak_checker, 'time', clock)
    return clock


@pytest.fixture
def checker(clock: Clock) -> ResultChecker:
    return ResultChecker()


def add_images(checker: ResultChecker, *stamps_ns: int) -> None:
    for stamp_ns in stamps_ns:
        message = CameraInfo()
        message.header.stamp = make_stamp(stamp_ns)
        checker.add_camera_info(message)


def add_result(
    checker: ResultChecker, text: str, stamp_ns: int, latency_s: float = 0.1, status: int = Segmentation.OK
) -> None:
    with_box = Instance(size=Vector3(x=0.1, y=0.1, z=0.1))
    message = Segmentation(instruction=text, latency=latency_s, status=status, instances=[with_box, Instance()])
    message.header.stamp = make_stamp(stamp_ns)
    checker.add_result(message)


def test_withdrawals_are_no_results(checker: ResultChecker):
    add_images(checker, 10)
    checker.add_instruction('red')
    add_result(checker, 'red', 10)
    add_result(checker, 'red', 10, status=Segmentation.WITHDRAWN)
    assert (checker.report()['results'], checker.report()['wrong_stamps']) == (1, 0)


def test_correct_results_are_counted(checker: ResultChecker, clock: Clock):
    add_images(checker, 10, 20, 30)
    checker.add_instruction('red')
    for stamp_ns in (10, 30):
        clock.now_s += 1.0
        add_result(checker, 'red', stamp_ns)
    report = checker.report()
    assert (report['results'], report['instructions'], report['latency_p95_ms']) == (2, 1, 100.0)
    assert (report['lost_results'], report['wrong_stamps'], report['wrong_instructions']) == (0, 0, 0)
    assert (report['instances'], report['boxes_3d']) == (4, 2)


@pytest.mark.parametrize('stamps_ns', [(10, 11), (20, 10), (10, 10)], ids=['unknown', 'backwards', 'repeated'])
def test_wrong_stamps_are_counted(checker: ResultChecker, stamps_ns: tuple[int, ...]):
    add_images(checker, 10, 20)
    checker.add_instruction('red')
    for stamp_ns in stamps_ns:
        add_result(checker, 'red', stamp_ns)
    assert checker.report()['wrong_stamps'] == 1


def test_images_from_before_the_discovery_of_the_camera_are_not_checked(checker: ResultChecker):
    add_images(checker, 10)
    checker.add_instruction('red')
    add_result(checker, 'red', 5)
    assert checker.report()['wrong_stamps'] == 0


@pytest.mark.parametrize(('late_s', 'latency_s', 'wrong'), [(0.5, 0.1, 0), (3.0, 2.5, 0), (3.0, 0.5, 1)])
def test_results_on_images_from_before_an_instruction_may_be_for_the_previous_one(
    checker: ResultChecker, clock: Clock, late_s: float, latency_s: float, wrong: int
):
    add_images(checker, 10)
    checker.add_instruction('red')
    clock.now_s += 2.0
    checker.add_instruction('blue')
    clock.now_s += late_s
    add_result(checker, 'red', 10, latency_s)
    assert checker.report()['wrong_instructions'] == wrong


def test_result_for_an_unknown_instruction_is_wrong(checker: ResultChecker):
    add_images(checker, 10)
    checker.add_instruction('red')
    add_result(checker, 'something else', 10)
    assert checker.report()['wrong_instructions'] == 1


def test_failures_and_requests_without_response_are_lost(checker: ResultChecker):
    add_images(checker, 10)
    checker.add_instruction('red')
    add_result(checker, 'red', 10, status=Segmentation.FAILED)
    checker.add_request('0', 'blue')
    assert checker.report()['lost_results'] == 2


@pytest.mark.parametrize(('text', 'request_id', 'wrong'), [('red', '0', 0), ('blue', '0', 1), ('red', '1', 1)])
def test_response_must_match_its_request(checker: ResultChecker, text: str, request_id: str, wrong: int):
    checker.add_request('0', 'red')
    response = Segment.Response(success=True, segmentation=Segmentation(instruction=text, request_id=request_id))
    checker.add_response('0', response)
    report = checker.report()
    assert (report['lost_results'], report['wrong_instructions']) == (0, wrong)


def test_memory_growth_compares_the_last_quarter_with_the_second(checker: ResultChecker):
    for memory_mb in (100.0, 200.0, 210.0, 210.0, 215.0, 215.0, 230.0, 230.0):
        checker.add_memory(round(memory_mb * 1e6))
    report = checker.report()
    assert (report['memory_mb'], report['memory_growth_mb']) == (230.0, 20.0)


def test_load_generator_sends_instructions_and_requests_and_subscribes(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    for kind in ('INSTRUCTION', 'REQUEST', 'SUBSCRIPTION', 'VISIT', 'MEMORY'):
        monkeypatch.setattr(soak_load, f'{kind}_PERIOD_S', 0.05)
    graph.segmenter()
    checker = ResultChecker()
    client: Any = SimpleNamespace(node=graph.peer, segmenter=SimpleNamespace(pid='self'))
    load = graph.run_in_executor(lambda: LoadGenerator(client, checker))
    subscribed, camera = set(), graph.camera()

    def done() -> bool:
        subscribed.update(topic for topic in OPTIONAL_TOPICS if graph.peer.count_subscribers(topic))
        report = checker.report()
        return bool(report['instructions'] and report['requests'] and report['results'] and report['memory_mb'])

    graph.publish_images(camera, until=lambda: done() and subscribed == set(OPTIONAL_TOPICS))
    load.stop()
    graph.publish_images(camera, until=lambda: not checker.pending_requests)
    assert checker.report()['lost_results'] == 0


def test_laps_are_no_wrong_stamps_and_each_has_a_share_of_boxes(checker: ResultChecker):
    second_ns = 1_000_000_000
    add_images(checker, *(index * second_ns for index in range(1, 60)))
    checker.add_instruction('red')
    for lap in range(3):
        for index in range(1, 2 * MIN_ANSWERS):
            box = Instance(size=Vector3(x=0.1 * (lap != 1 or index % 2), y=0.1, z=0.1))
            message = Segmentation(instruction='red', latency=0.1, instances=[box])
            message.header.stamp = make_stamp(index * second_ns)
            checker.add_result(message)
    report = checker.report()
    assert (report['laps'], report['wrong_stamps']) == (3, 0)
    assert report['share_with_boxes'] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(('late_s', 'lost'), [(1.0, 0), (10.0, 2)])
def test_failures_during_a_fault_are_not_lost(checker: ResultChecker, clock: Clock, late_s: float, lost: int):
    checker.add_instruction('red')
    clock.now_s += 1.0
    checker.begin_fault()
    checker.add_request('during', 'red')
    clock.now_s += 1.0
    add_result(checker, 'red', 10, status=Segmentation.FAILED)
    checker.end_fault()
    clock.now_s += late_s
    checker.add_request('after', 'red')
    for request_id in ('during', 'after'):
        result = Segmentation(instruction='red', request_id=request_id)
        checker.add_response(request_id, Segment.Response(success=False, message='no image', segmentation=result))
    add_result(checker, 'red', 20, status=Segmentation.FAILED)
    assert checker.report()['lost_results'] == lost
    assert len(checker.errors) == lost


class FakeClient:
    """A client whose node says on /diagnostics what the player does, or always the same."""

    def __init__(self, *, is_true: bool) -> None:
        self.node = self
        self._is_true = is_true
        self._parameters: dict[str, list[str]] = {}
        self.set: list[dict[str, list[str]]] = []

    def create_subscription(self, kind: Any, topic: str, callback: Any, depth: int) -> None:
        self._callback = callback

    def set_parameters(self, node_name: str, **values: list[str]) -> None:
        self.set.append(values)
        self._parameters = values

    def spin_for(self, duration_s: float) -> None:
        assert duration_s > 10
        texts = dict.fromkeys(('masks', '3D points', '3D boxes'), '')
        for fault in FAULTS:
            if self._is_true and fault.parameters == self._parameters:
                texts[fault.status] = fault.text
        self._callback(
            DiagnosticArray(
                status=[
                    DiagnosticStatus(
                        name=f'segmenter: {name}',
                        level=DiagnosticStatus.ERROR if text else DiagnosticStatus.OK,
                        message=text,
                    )
                    for name, text in texts.items()
                ]
            )
        )


@pytest.mark.parametrize('is_true', [True, False])
def test_diagnostics_that_hide_a_fault_are_untrue(
    checker: ResultChecker, monkeypatch: pytest.MonkeyPatch, is_true: bool
):
    monkeypatch.setattr(soak_faults, 'has_transforms', lambda: True)
    client: Any = FakeClient(is_true=is_true)
    injector = FaultInjector(client, checker)
    injector.run()
    assert len(client.set) == 2 * len(FAULTS)
    assert client.set[-1] == {'muted': [''], 'broken': ['']}
    assert checker.report()['untrue_diagnostics'] == (0 if is_true else len(FAULTS))
    assert all('expected' in error for error in checker.errors)


def test_without_tf2_there_is_no_fault_of_transforms(checker: ResultChecker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(soak_faults, 'has_transforms', lambda: False)
    client: Any = FakeClient(is_true=True)
    assert 'no transform' not in [fault.name for fault in FaultInjector(client, checker).faults]
