"""A peer asks again where a response may have been lost, and never twice for a transition."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from instructsam_ros.tools import client
from instructsam_ros.tools.client import PeerError, SegmenterClient
from instructsam_ros.tools.node_process import use_own_domain


class Process:
    """In the place of a child process; its node is in a thread here."""

    def check(self) -> None:
        """It always runs."""

    def tail(self) -> str:
        return 'the log'


class Server(Node):
    """The lifecycle services of a node; a response can be lost, as it is to a client not discovered yet."""

    def __init__(self) -> None:
        super().__init__('segmenter')
        self.asked: list[type] = []
        self.allowed = True
        for kind, name, answer in (
            (GetState, 'get_state', lambda response: None),
            (ChangeState, 'change_state', lambda response: setattr(response, 'success', self.allowed)),
        ):
            self.create_service(kind, f'segmenter/{name}', self._serve(kind, answer))

    def lose_first_response(self, name: str) -> None:
        [service] = [service for service in self.services if service.service_name.endswith(name)]
        send = service.send_response

        def lose(*_: Any) -> None:
            service.send_response = send

        service.send_response = lose

    def _serve(self, kind: type, answer: Callable[[Any], None]) -> Callable[[Any, Any], Any]:
        def serve(_: Any, response: Any) -> Any:
            self.asked.append(kind)
            answer(response)
            return response

        return serve


@pytest.fixture
def server() -> Iterator[Server]:
    use_own_domain()
    rclpy.init(args=[])
    node, executor = Server(), SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    rclpy.try_shutdown()


@pytest.fixture
def peer(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmenterClient]:
    monkeypatch.setattr(client, 'ASK_AGAIN_S', 0.2)
    made = SegmenterClient('peer', 10.0, Process())  # type: ignore[arg-type]
    yield made
    made.close()


def test_a_response_lost_in_discovery_does_not_stop_it(server: Server, peer: SegmenterClient) -> None:
    server.lose_first_response('get_state')
    peer.bring_up(10.0)
    assert server.asked == [GetState, GetState, ChangeState, ChangeState]


def test_a_transition_is_asked_for_once(server: Server, peer: SegmenterClient) -> None:
    server.lose_first_response('change_state')
    with pytest.raises(PeerError, match=r'(?s)waited 1 s for the node to configure.*the log'):
        peer.bring_up(1.0)
    assert server.asked.count(ChangeState) == 1


def test_a_node_that_refuses(server: Server, peer: SegmenterClient) -> None:
    server.allowed = False
    with pytest.raises(PeerError, match=r'(?s)could not configure.*the log'):
        peer.bring_up(10.0)
