"""The bond to nav2's lifecycle manager, with a substitute of bondpy and, where it is installed, with bondpy itself."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.duration import Duration

from instructsam_ros.node import manager_bond
from instructsam_ros.node.manager_bond import ManagerBond
from instructsam_ros.tools.node_process import NodeProcess
from tests.support import SUPPORT
from tests.support.graph import Graph, Manager

SLOW_SEGMENTER = str(SUPPORT / 'slow_segmenter.py')


class SubstituteBond:
    """Records what the node does, in place of bondpy's class."""

    def __init__(self, node: Any, topic: str, id_: str) -> None:
        self.topic, self.id = topic, id_
        self.calls: list[str] = []
        self.heartbeat_period = self.heartbeat_timeout = 0.0
        self.sub = node.create_subscription(type(Transition()), topic, print, 1)
        self.pub = node.create_publisher(type(Transition()), topic, 1)

    def start(self) -> None:
        self.calls.append('start')

    def shutdown(self) -> None:
        self.calls.append('shutdown')


@pytest.fixture
def bonds(monkeypatch: pytest.MonkeyPatch) -> list[SubstituteBond]:
    made: list[SubstituteBond] = []

    def make(*arguments: Any) -> SubstituteBond:
        made.append(SubstituteBond(*arguments))
        return made[-1]

    package, module = ModuleType('bondpy'), ModuleType('bondpy.bondpy')
    module.Bond = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'bondpy', package)
    monkeypatch.setitem(sys.modules, 'bondpy.bondpy', module)
    monkeypatch.setattr(manager_bond, 'find_spec', lambda name: SimpleNamespace(name=name))
    return made


def test_bond_lasts_while_the_node_is_active(graph: Graph, bonds: list[SubstituteBond]):
    graph.segmenter(autostart=False, bond_heartbeat_period=0.2)
    manager = Manager(graph)
    assert manager.change(Transition.TRANSITION_CONFIGURE)
    assert not bonds
    for _ in range(2):
        assert manager.change(Transition.TRANSITION_ACTIVATE)
        assert (bonds[-1].topic, bonds[-1].id, bonds[-1].heartbeat_period) == ('bond', 'segmenter', 0.2)
        assert bonds[-1].calls == ['start']
        assert manager.change(Transition.TRANSITION_DEACTIVATE)
        assert bonds[-1].calls == ['start', 'shutdown']
        graph.wait_for(lambda: graph.peer.count_subscribers('bond') == 0, 'the end of the subscription')
    assert len(bonds) == 2


def test_no_bond_if_the_period_is_0(graph: Graph, bonds: list[SubstituteBond]):
    graph.segmenter(bond_heartbeat_period=0.0)
    assert not bonds


def test_no_bond_without_bondpy(graph: Graph, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manager_bond, 'find_spec', lambda name: None)
    bond = ManagerBond(graph.peer)
    bond.start(0.25)
    bond.stop()


@pytest.fixture
def nav(graph: Graph) -> Iterator[NavManager]:
    pytest.importorskip('bondpy', reason='bondpy is part of ROS (bond_core), not of PyPI')
    nav = NavManager(graph)
    yield nav
    if nav.bond is not None:
        nav.bond.shutdown()


class NavManager:
    """The calls of nav2_lifecycle_manager, in their order, with bondpy in place of bondcpp."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._manager = Manager(graph)
        self.bond: Any = None

    def start_up(self) -> None:
        """`LifecycleManager::startup`: each transition is followed by get_state; then the bond must form."""
        assert self._manager.change(Transition.TRANSITION_CONFIGURE)
        assert self._manager.state == 'inactive'
        assert self._manager.change(Transition.TRANSITION_ACTIVATE)
        assert self._manager.state == 'active'
        from bondpy.bondpy import Bond

        self.bond = Bond(self._graph.peer, 'bond', 'segmenter')
        self.bond.heartbeat_timeout, self.bond.heartbeat_period = 4.0, 0.25
        self.bond.start()
        assert self.bond.wait_until_formed(Duration(seconds=10))

    def shut_down(self) -> None:
        """`LifecycleManager::shutdownAllNodes`."""
        for transition, state in (
            (Transition.TRANSITION_DEACTIVATE, 'inactive'),
            (Transition.TRANSITION_CLEANUP, 'unconfigured'),
            (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, 'finalized'),
        ):
            assert self._manager.change(transition)
            assert self._manager.state == state


def test_manager_starts_and_stops_the_node(graph: Graph, nav: NavManager):
    node = graph.segmenter(autostart=False, instruction='red')
    nav.start_up()
    answers = graph.subscribe()
    graph.publish_images(graph.camera(), until=lambda: answers)
    assert not nav.bond.is_broken()
    nav.shut_down()
    assert nav.bond.wait_until_broken(Duration(seconds=10))
    assert node.supervisor is None


@pytest.mark.parametrize('signal_number', [signal.SIGINT, signal.SIGKILL], ids=['SIGINT', 'SIGKILL'])
def test_manager_notices_the_end_of_the_process(graph: Graph, nav: NavManager, signal_number: int):
    parameters = {'autostart': False, 'warmup': False}
    with NodeProcess(SLOW_SEGMENTER, '0.01', parameters=parameters) as child:
        nav.start_up()
        # bondpy starts its timeout with the second heartbeat.
        graph.wait_for(lambda: nav.bond.heartbeat_timer.deadline > time.time(), 'another heartbeat')
        child.stop(signal_number)
        assert 'Traceback' not in child.tail()
    assert nav.bond.wait_until_broken(Duration(seconds=20))
