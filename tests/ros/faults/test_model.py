"""Faults of the model; what the node reports is in docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.action.client import ActionClient

from instructsam_ros.action import Track
from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented, logged
from tests.support.graph import Graph, Manager
from tests.support.saboteur import Saboteur


@pytest.fixture
def saboteurs() -> Iterator[list[Saboteur]]:
    """All that were loaded; let go at the end."""
    made: list[Saboteur] = []
    yield made
    for saboteur in made:
        saboteur.released.set()


@pytest.fixture
def load(saboteurs: list[Saboteur]) -> Callable[..., Saboteur]:
    def load(*_: Any, **__: Any) -> Saboteur:
        saboteurs.append(Saboteur())
        return saboteurs[-1]

    return load


def start(graph: Graph, load: Callable[..., Saboteur], **parameters: Any) -> Any:
    node = graph.segmenter(load=load, **parameters)
    graph.wait_for(lambda: node.state == 'active', 'the node to be active')
    return node


@pytest.mark.parametrize('fault', ['too much', 'exit'])
def test_segmenter_is_reloaded(
    graph: Graph, load: Callable[..., Saboteur], saboteurs: list[Saboteur], log: Callable[[], str], fault: str
):
    node = start(graph, load, instruction=fault)
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert answers[0].status == Segmentation.FAILED
    check_documented(answers[0].message)
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)
    assert len(saboteurs) == 2
    check_documented(logged(graph, log, 'the segmenter is reloaded in 0 s'))


def test_model_that_gives_nan_fails_instead_of_finding_nothing(graph: Graph, load: Callable[..., Saboteur]):
    node = start(graph, load, instruction='not finite')
    answers, camera = graph.subscribe(), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert (answers[0].status, answers[0].error_code) == (Segmentation.FAILED, ErrorCode.MODEL_ERROR)
    check_documented(answers[0].message)
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)


def test_stuck_model(graph: Graph, load: Callable[..., Saboteur], saboteurs: list[Saboteur], log: Callable[[], str]):
    node = start(graph, load, instruction='stuck', stuck_timeout=1.0, request_timeout=60.0)
    answers, diagnostics, camera = graph.subscribe(), graph.subscribe('/diagnostics', DiagnosticArray), graph.camera()
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    assert client.wait_for_service(10)
    graph.publish_images(camera, until=lambda: node.supervisor.worker.busy_s > 0)
    waiting = client.call_async(Segment.Request(instruction='red'))
    graph.wait_for(lambda: answers and waiting.done(), 'everybody to be told')
    reason = 'the model has been busy with one image for more than 1 s'
    assert (answers[0].status, answers[0].message) == (Segmentation.FAILED, reason)
    assert (waiting.result().success, waiting.result().message) == (False, reason)
    check_documented(logged(graph, log, reason))
    graph.wait_for(
        lambda: diagnostics and diagnostics[-1].status[0].level == DiagnosticStatus.ERROR,
        'an error in the diagnostics',
    )

    check_documented(logged(graph, log, 'was abandoned'))
    graph.set_instruction(node, 'red')
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)
    assert len(saboteurs) == 2


def test_node_with_a_stuck_model_can_be_cleaned_up(graph: Graph, load: Callable[..., Saboteur]):
    node = start(graph, load, instruction='stuck', stuck_timeout=0.5)
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    graph.run_in_executor(node.trigger_deactivate)
    graph.run_in_executor(node.trigger_cleanup)
    assert node.state == 'unconfigured'


def test_node_deactivates_itself_after_max_failures(
    graph: Graph, load: Callable[..., Saboteur], log: Callable[[], str]
):
    node = start(graph, load, instruction='fail', max_failures=3)
    diagnostics, camera = graph.subscribe('/diagnostics', DiagnosticArray), graph.camera()
    graph.publish_images(camera, until=lambda: node.state == 'inactive')
    said = logged(graph, log, 'deactivated after')
    check_documented(said.replace(str(node.supervisor.failures), '3'))
    graph.wait_for(
        lambda: diagnostics and diagnostics[-1].status[0].message.startswith('deactivated after'),
        'a word in diagnostics',
    )
    assert diagnostics[-1].status[0].level == DiagnosticStatus.ERROR
    manager = Manager(graph)
    assert manager.state == 'inactive'
    answers = graph.subscribe()
    graph.set_instruction(node, 'red')
    graph.run_in_executor(node.trigger_activate)
    graph.publish_images(camera, until=lambda: answers and answers[-1].status == Segmentation.OK)


def test_lost_target_and_deactivation_end_goals(graph: Graph):
    node = graph.segmenter()
    client: ActionClient[Any, Any, Any] = graph.action_client(Track, 'segmenter/track')
    graph.wait_for(client.server_is_ready, 'the action server')
    messages = []
    for lost_after in (Duration(nanosec=500_000_000), Duration()):
        sent = client.send_goal_async(Track.Goal(instruction='red', lost_after=lost_after))
        graph.wait_for(sent.done, 'the goal to be accepted')
        result = sent.result().get_result_async()
        if lost_after == Duration():
            graph.run_in_executor(node.trigger_deactivate)
        graph.wait_for(result.done, 'the result')
        messages.append(result.result().result.message)
    graph.run_in_executor(client.destroy)
    for message in messages:
        check_documented(message)
