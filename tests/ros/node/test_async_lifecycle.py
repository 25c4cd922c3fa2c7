"""While the weights are loaded, the node answers everything else.

Covers node/model_holder.py and node/live_parameters.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from instructsam_model import CheckpointError
from instructsam_ros.msg import ErrorCode
from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented, logged
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph, Manager

CONFIGURE, SHUTDOWN = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN


class SlowLoading:
    """Loads when it is released, and then raises `error` if there is one."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.loads: list[Any] = []
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None
        self.fake = FakeSegmenter()

    def __call__(self, parameters: Any) -> FakeSegmenter:
        self.loads.append(parameters)
        self.threads.append(threading.current_thread())
        assert self.released.wait(30)
        if self.error is not None:
            raise self.error
        return self.fake


@pytest.fixture
def loading() -> Iterator[SlowLoading]:
    loading = SlowLoading()
    yield loading
    loading.released.set()


class Client(Manager):
    """Also calls without waiting for the reply."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._graph = graph
        self._clients: dict[str, Any] = {}

    def call(self, service: type[Any], name: str, request: Any) -> Any:
        client = self._clients.setdefault(name, self._graph.peer.create_client(service, f'segmenter/{name}'))
        return self._graph.call(client, request, timeout_s=5.0)

    def start(self, transition: int) -> Any:
        client = self._graph.peer.create_client(ChangeState, 'segmenter/change_state')
        assert client.wait_for_service(10)
        return client.call_async(ChangeState.Request(transition=Transition(id=transition)))


def start_loading(graph: Graph, loading: SlowLoading, **parameters: Any) -> tuple[Any, Client, Any]:
    """The node while it is being configured, a client, and the future of the reply."""
    node = graph.segmenter(load=loading, autostart=False, **parameters)
    client = Client(graph)
    configured = client.start(CONFIGURE)
    graph.wait_for(lambda: loading.loads, 'the load to begin')
    return node, client, configured


def test_node_answers_while_it_loads(graph: Graph, loading: SlowLoading):
    node, client, configured = start_loading(graph, loading, instruction='red')
    statuses = graph.subscribe('/diagnostics', DiagnosticArray)
    assert client.state == node.state == 'configuring'
    [value] = client.call(GetParameters, 'get_parameters', GetParameters.Request(names=['instruction'])).values
    assert value.string_value == 'red'
    reply = client.call(Segment, 'segment', Segment.Request(instruction='red', image=graph.image('red')))
    assert (reply.success, reply.error_code) == (False, ErrorCode.NOT_ACTIVE)
    check_documented(reply.message)
    said = 'loading the checkpoint ... 1 s'
    graph.wait_for(lambda: any(said in each.message for array in statuses for each in array.status), 'the activity')
    assert not configured.done()
    name = 'get_available_transitions'
    listed = client.call(GetAvailableTransitions, name, GetAvailableTransitions.Request()).available_transitions
    assert [(each.transition.id, each.transition.label) for each in listed] == [(SHUTDOWN, 'shutdown')]

    loading.released.set()
    graph.wait_for(configured.done, 'the reply')
    assert configured.result().success
    assert client.state == node.state == 'inactive'
    listed = client.call(GetAvailableTransitions, name, GetAvailableTransitions.Request()).available_transitions
    assert {each.transition.label for each in listed} == {'activate', 'cleanup', 'shutdown'}
    assert client.change(Transition.TRANSITION_ACTIVATE)
    assert client.call(Segment, 'segment', Segment.Request(instruction='red', image=graph.image('red'))).success
    assert loading.fake.threads == {loading.threads[0].ident}, 'it is used in the thread that loaded it'


def test_parameters_while_loading(graph: Graph, loading: SlowLoading):
    """Those that are used for loading are refused; others take effect."""
    node, client, configured = start_loading(graph, loading, instruction='red', checkpoint='here')

    def set_parameter(name: str, value: Any) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        [result] = client.call(SetParameters, 'set_parameters', request).results
        return result.successful, result.reason

    successful, reason = set_parameter('checkpoint', 'there')
    assert not successful
    assert 'can be changed only while the node is unconfigured' in reason
    assert set_parameter('max_failures', 7) == (True, '')
    assert set_parameter('instruction', 'blue') == (True, '')
    loading.released.set()
    graph.wait_for(configured.done, 'the reply')
    assert loading.loads[0].checkpoint == node.parameters.checkpoint == 'here'
    assert node.supervisor.limits.max_failures == 7
    assert node.instructions.texts == ('blue',)


@pytest.mark.parametrize(
    'transition',
    [CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
     Transition.TRANSITION_ON_CONFIGURE_SUCCESS, Transition.TRANSITION_ON_CONFIGURE_FAILURE],
    ids=['configure', 'activate', 'deactivate', 'cleanup', 'internal success', 'internal failure'],
)  # fmt: skip
def test_other_transitions_are_refused_while_loading(
    graph: Graph, loading: SlowLoading, transition: int, log: Callable[[], str]
):
    _, client, configured = start_loading(graph, loading)
    assert not client.change(transition)
    said = logged(graph, log, 'the node is being configured')
    check_documented(said.replace(f"'{transition}'", "'activate'"))
    assert client.state == 'configuring'
    loading.released.set()
    graph.wait_for(configured.done, 'the reply')
    assert configured.result().success
    assert client.state == 'inactive'
    assert len(loading.loads) == 1


@pytest.mark.parametrize('by_service', [True, False], ids=['service', 'trigger_shutdown'])
def test_shutdown_while_loading(graph: Graph, loading: SlowLoading, by_service: bool):
    node, client, configured = start_loading(graph, loading)
    if by_service:
        assert client.change(SHUTDOWN)
    else:
        assert graph.run_in_executor(node.trigger_shutdown) == TransitionCallbackReturn.SUCCESS
    graph.wait_for(configured.done, 'the reply to configure')
    assert not configured.result().success
    assert client.state == 'finalized'
    assert not loading.fake.closed
    loading.released.set()
    graph.wait_for(lambda: loading.fake.closed, 'the model that came too late to be freed')
    assert client.state == 'finalized'
    assert node.supervisor is None


def test_node_is_destroyed_while_loading(graph: Graph, loading: SlowLoading):
    node, _, _ = start_loading(graph, loading)
    graph.run_in_executor(node.destroy_node)
    loading.released.set()
    graph.wait_for(lambda: loading.fake.closed, 'the model that came too late to be freed')
    graph.wait_for(lambda: not loading.threads[0].is_alive(), 'the thread to end')


def test_failed_loading_is_an_error_until_the_next_attempt(graph: Graph, loading: SlowLoading):
    loading.error = CheckpointError('/no/such/folder: no such folder')
    node, client, configured = start_loading(graph, loading)
    statuses = graph.subscribe('/diagnostics', DiagnosticArray)
    loading.released.set()
    graph.wait_for(configured.done, 'the reply')
    assert not configured.result().success
    assert client.state == node.state == 'unconfigured'
    statuses.clear()
    graph.wait_for(lambda: len(statuses) >= 2, 'diagnostics')
    for status in (each.status[0] for each in statuses):
        assert status.level == DiagnosticStatus.ERROR
        assert status.message == 'not configured: /no/such/folder: no such folder'
    loading.error = None
    assert client.change(CONFIGURE)
    statuses.clear()
    graph.wait_for(lambda: statuses and statuses[-1].status[0].level != DiagnosticStatus.ERROR, 'another level')


def test_autostart_does_not_block(graph: Graph, loading: SlowLoading):
    events = graph.subscribe('segmenter/transition_event', TransitionEvent)
    graph.segmenter(load=loading, instruction='red')
    manager = Manager(graph)
    graph.wait_for(lambda: loading.loads, 'the load to begin')
    assert manager.state == 'configuring'
    loading.released.set()
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    goals = [each.goal_state.label for each in events]
    assert ['configuring', 'inactive', 'activating', 'active'][-len(goals) :] == goals, 'as rclpy publishes them'


def test_autostart_gives_way_to_a_client(graph: Graph, loading: SlowLoading):
    """A client may configure the node before its executor has run the timer."""
    node = graph.segmenter(load=loading, autostart=False)
    client = Client(graph)
    configured = client.start(CONFIGURE)
    graph.wait_for(lambda: loading.loads, 'the load to begin')
    graph.run_in_executor(node.start_automatically)
    loading.released.set()
    graph.wait_for(configured.done, 'the reply')
    assert configured.result().success
    assert len(loading.loads) == 1


def test_trigger_configure_blocks_and_returns_the_outcome(graph: Graph, loading: SlowLoading):
    loading.released.set()
    node = graph.segmenter(load=loading, autostart=False)
    assert graph.run_in_executor(node.trigger_configure) == TransitionCallbackReturn.SUCCESS
    assert node.state == 'inactive'
    assert graph.run_in_executor(node.trigger_cleanup) == TransitionCallbackReturn.SUCCESS
    loading.error = CheckpointError('gone')
    assert graph.run_in_executor(node.trigger_configure) == TransitionCallbackReturn.FAILURE


def test_impossible_transition_is_refused(graph: Graph, log: Callable[[], str]):
    graph.segmenter(autostart=False)
    manager = Manager(graph)
    assert not manager.change(Transition.TRANSITION_ACTIVATE)
    assert manager.state == 'unconfigured'
    said = logged(graph, log, 'not possible in the state unconfigured')
    check_documented(said.replace("'3'", "'activate'"))


@pytest.mark.parametrize('step', ['prepare', 'on_configure'])
def test_error_while_configuring_is_handled_as_rclpy_does(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str], step: str
):
    node = graph.segmenter(autostart=False)

    def broken(*_: Any) -> None:
        raise KeyError('surprise')

    monkeypatch.setattr(node, step, broken)
    manager = Manager(graph)
    assert not manager.change(CONFIGURE)
    graph.wait_for(lambda: "KeyError: 'surprise'" in log(), 'the log')
    assert manager.state == 'unconfigured'
