"""Messages of latched and volatile publishers, from before and after the subscription, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from instructsam_ros.latched_subscription import LatchedSubscription
from tests.support.graph import Graph

BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
VOLATILE, TRANSIENT_LOCAL = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


class Listener:
    """A subscription that collects texts."""

    def __init__(self, graph: Graph, topic: str, depth: int = 1) -> None:
        self._graph = graph
        self.texts: list[str] = []
        self.subscription = LatchedSubscription(
            graph.peer,
            String,
            topic,
            lambda message: self.texts.append(message.data),
            QoSProfile(depth=depth, reliability=BEST_EFFORT),
        )
        graph.run_in_executor(self.subscription.subscribe)

    def wait_for(self, text: str) -> None:
        self._graph.wait_for(lambda: text in self.texts, f'{text!r}, got {self.texts}')


@pytest.fixture
def listen(graph: Graph) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(topic: str, depth: int = 1) -> Listener:
        listeners.append(Listener(graph, topic, depth))
        return listeners[-1]

    yield start
    for listener in listeners:
        graph.run_in_executor(listener.subscription.unsubscribe)


def publisher(graph: Graph, topic: str, durability: Any, reliability: Any = RELIABLE, depth: int = 1) -> Any:
    return graph.peer.create_publisher(
        String, topic, QoSProfile(depth=depth, durability=durability, reliability=reliability)
    )


def publish_until(graph: Graph, each: Any, text: str, listener: Listener) -> None:
    graph.publish_instruction(each, text, until=lambda: text in listener.texts)


def test_publishers_of_every_qos(graph: Graph, listen: Callable[..., Listener], log: Callable[[], str]):
    kinds = [
        (durability, reliability, depth)
        for durability in (VOLATILE, TRANSIENT_LOCAL)
        for reliability in (BEST_EFFORT, RELIABLE)
        for depth in (1, 7)
    ]
    listener = listen('words', 10)
    for number, (durability, reliability, depth) in enumerate(kinds):
        each = publisher(graph, 'words', durability, reliability, depth)
        publish_until(graph, each, f'text {number}', listener)
    assert 'New publisher discovered' not in log(), 'which subscriptions log about publishers that they do not match'


def test_message_from_before_the_subscription_arrives_once(graph: Graph, listen: Callable[..., Listener]):
    latched = publisher(graph, 'words', TRANSIENT_LOCAL)
    latched.publish(String(data='before'))
    listener = listen('words', 10)
    listener.wait_for('before')
    for number in range(20):
        latched.publish(String(data=str(number)))
    listener.wait_for('19')
    assert listener.texts == sorted(set(listener.texts), key=listener.texts.index), 'each once'
    graph.wait_for(lambda: graph.peer.count_subscribers('words') == 1, 'the end of the transient-local subscription')


def test_publisher_that_comes_after_the_subscription(graph: Graph, listen: Callable[..., Listener]):
    """On another participant, as always in practice: it sends before the subscription has found it."""
    volatile = publisher(graph, 'words', VOLATILE)
    listener = listen('words')
    publish_until(graph, volatile, 'volatile', listener)
    contexts = [Context(), Context()]
    try:
        for number, context in enumerate(contexts):
            rclpy.init(args=[], context=context)
            other = Node(f'other_{number}', context=context)
            qos = QoSProfile(depth=1, durability=TRANSIENT_LOCAL)
            other.create_publisher(String, 'words', qos).publish(String(data=other.get_name()))
            listener.wait_for(other.get_name())
    finally:
        for context in contexts:
            context.try_shutdown()


def test_messages_from_before_are_not_received_again(graph: Graph, listen: Callable[..., Listener]):
    latched = publisher(graph, 'words', TRANSIENT_LOCAL)
    latched.publish(String(data='before'))
    listener = listen('words')
    listener.wait_for('before')
    subscription, count = listener.subscription, listener.subscription.latched_count
    graph.run_in_executor(subscription.unsubscribe)
    graph.run_in_executor(subscription.subscribe)
    graph.wait_for(lambda: subscription.latched_count > count, 'the message again')
    assert listener.texts == ['before']
    graph.run_in_executor(subscription.unsubscribe)
    latched.publish(String(data='meanwhile'))
    graph.run_in_executor(subscription.subscribe)
    listener.wait_for('meanwhile')


def test_earlier_messages_can_be_ignored(graph: Graph, listen: Callable[..., Listener]):
    listener = listen('words')
    graph.run_in_executor(listener.subscription.unsubscribe)
    latched = publisher(graph, 'words', TRANSIENT_LOCAL)
    latched.publish(String(data='old'))
    listener.subscription.ignore_earlier()
    count = listener.subscription.latched_count
    graph.run_in_executor(listener.subscription.subscribe)
    graph.wait_for(lambda: listener.subscription.latched_count > count, 'the old message')
    latched.publish(String(data='new'))
    listener.wait_for('new')
    assert 'old' not in listener.texts


def test_qos_is_overridden_by_parameters(graph: Graph, listen: Callable[..., Listener]):
    for name, value in (('reliability', 'reliable'), ('depth', 4)):
        graph.peer.declare_parameter(f'qos_overrides./words.subscription.{name}', value)
    subscription = listen('words').subscription
    assert subscription.topic == '/words'
    assert (subscription.qos.reliability, subscription.qos.depth) == (RELIABLE, 4)
