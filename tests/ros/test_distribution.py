"""The code uses no name that a distribution lacks, and works where what is missing in Humble is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from instructsam_ros import distribution
from tests.support import ROOT
from tests.support.graph import Graph
from tests.support.ros_names import TABLE, code_files, runtime_subscripts, used_names

NAMES = json.loads(TABLE.read_text())
SHIM = ROOT / 'instructsam_ros' / 'distribution.py'


class HumbleNode(Node):
    """A node without what rclpy of Humble lacks."""

    def __getattribute__(self, name: str) -> Any:
        if name in ('add_pre_set_parameters_callback', 'add_post_set_parameters_callback'):
            raise AttributeError(name)
        return super().__getattribute__(name)


class HumbleEventCallbacks:
    """The constructor of Humble's SubscriptionEventCallbacks (rclpy 3.3.15, rclpy/qos_event.py)."""

    def __init__(
        self,
        *,
        deadline: Any = None,
        incompatible_qos: Any = None,
        liveliness: Any = None,
        message_lost: Any = None,
        use_default_callbacks: bool = True,
    ) -> None:
        self.use_default_callbacks = use_default_callbacks


@pytest.fixture
def like_humble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, 'HAS_MATCHED_EVENTS', False)
    monkeypatch.setattr(distribution, 'HAS_MESSAGE_INFO', False)


@pytest.mark.parametrize('name', ['jazzy', 'humble'])
def test_uses_no_name_that_a_distribution_lacks(name: str) -> None:
    missing = set(NAMES['missing'][name])
    found = {
        str(file.relative_to(ROOT)): sorted(used)
        for file in code_files()
        if file != SHIM and (used := used_names([file]) & missing)
    }
    assert found == {}, 'go through instructsam_ros/distribution.py'


def test_every_imported_name_has_been_compared() -> None:
    imported = {name for name in used_names(code_files()) if name[0] != '.' and ':' in name}
    # The old name of rclpy.event_handler, and the exceptions that tf2_ros takes from a C extension.
    known = {name for name in imported if re.match(r'rclpy\.qos_event:|tf2_ros:\w+Exception$', name)}
    assert imported - set(NAMES['names']) - known == set(), 'run python -m tests.support.ros_names, see there'


def test_platforms_page_names_what_is_missing() -> None:
    page = (ROOT / 'docs' / 'platforms.md').read_text()
    missing = {name.lstrip('.').partition(':')[0] for names in NAMES['missing'].values() for name in names}
    assert [name for name in missing if f'| `{name}`' not in page] == []


@pytest.mark.parametrize('file', code_files(), ids=lambda file: str(Path(file).relative_to(ROOT)))
def test_classes_that_are_generic_only_in_new_distributions_are_not_subscripted(file: Path) -> None:
    assert runtime_subscripts(file) == []


@pytest.mark.parametrize('node_class', [Node, HumbleNode])
def test_parameters_are_checked_and_then_applied_together(graph: Graph, node_class: Callable[..., Node]) -> None:
    node = node_class('target', context=graph.context)
    try:
        applied: list[dict[str, Any]] = []

        def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
            return SetParametersResult(successful=all(each.value >= 0 for each in parameters), reason='negative')

        node.declare_parameters('', [('a', 1), ('b', 2)])
        distribution.add_parameter_callbacks(
            node, check, lambda parameters: applied.append({each.name: each.value for each in parameters})
        )
        assert not node.set_parameters_atomically([Parameter('a', value=3), Parameter('b', value=-1)]).successful
        assert applied == []
        assert node.set_parameters_atomically([Parameter('a', value=3), Parameter('b', value=4)]).successful
        assert applied == [{'a': 3, 'b': 4}]
    finally:
        node.destroy_node()


@pytest.mark.parametrize('node_class', [Node, HumbleNode])
def test_parameters_are_converted_where_rclpy_can(graph: Graph, node_class: Callable[..., Node]) -> None:
    node = node_class('target', context=graph.context)
    try:
        node.declare_parameter('x', 1.0)
        distribution.add_parameter_conversion(
            node, lambda parameters: [Parameter(each.name, value=float(each.value)) for each in parameters]
        )
        [result] = node.set_parameters([Parameter('x', value=5)])
        assert result.successful == (node_class is Node and hasattr(Node, 'add_pre_set_parameters_callback'))
    finally:
        node.destroy_node()


def test_event_callbacks_without_matched_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, 'SubscriptionEventCallbacks', HumbleEventCallbacks)
    monkeypatch.setattr(distribution, 'HAS_MATCHED_EVENTS', False)
    events = distribution.make_subscription_events(lambda _: None, use_default_callbacks=False)
    assert events.use_default_callbacks is False


@pytest.mark.parametrize('has_info', [True, False])
def test_callbacks_take_the_time_of_publication(graph: Graph, monkeypatch: pytest.MonkeyPatch, has_info: bool) -> None:
    if has_info and not distribution.HAS_MESSAGE_INFO:
        pytest.skip('this rclpy does not tell the time of publication')
    monkeypatch.setattr(distribution, 'HAS_MESSAGE_INFO', has_info)
    live: list[int] = []
    replayed: list[int] = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for stamps, is_live in ((live, True), (replayed, False)):
        take = distribution.with_stamp(lambda _, stamp_ns, stamps=stamps: stamps.append(stamp_ns), is_live=is_live)
        graph.peer.create_subscription(String, 'stamped', take, qos)
    graph.peer.create_publisher(String, 'stamped', qos).publish(String())
    graph.wait_for(lambda: live and replayed, 'the message')
    assert live[0] > 1_600_000_000_000_000_000
    assert (replayed[0] == distribution.UNKNOWN_STAMP_NS) == (not has_info)


@pytest.mark.usefixtures('like_humble')
def test_latched_instructions_without_events_and_times(graph: Graph) -> None:
    node = graph.segmenter()

    def text() -> str | None:
        return node.instructions.instruction and node.instructions.instruction.text

    def activate_again() -> None:
        count = node.instruction_topic.latched_count
        graph.run_in_executor(node.trigger_deactivate)
        graph.run_in_executor(node.trigger_activate)
        graph.wait_for(lambda: node.instruction_topic.latched_count > count, 'the latched message')

    latching = graph.instruction_publisher(latched=True)
    graph.publish_instruction(latching, 'latched', until=lambda: text() == 'latched')
    graph.wait_for(lambda: node.instruction_topic.latched_count, 'the publisher, found by the timer')
    graph.publish_instruction(graph.instruction_publisher(), 'live', until=lambda: text() == 'live')
    activate_again()
    assert text() == 'live', 'a message of unknown age does not replace a known one'


@pytest.mark.usefixtures('like_humble')
def test_latched_instruction_from_before_the_node_without_times(graph: Graph) -> None:
    graph.instruction_publisher(latched=True).publish(String(data='from before'))
    node = graph.segmenter()
    graph.wait_for(lambda: node.instructions.instruction is not None, 'the latched instruction')
