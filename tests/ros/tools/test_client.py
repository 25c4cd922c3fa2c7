"""Requests are repeated if their response may be lost in discovery; transitions never are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from instructsam_ros.tools import client
from instructsam_ros.tools.client import ClientError, SegmenterClient
from instructsam_ros.tools.dds_domain import use_own_domain


class Process:
    """Replaces a NodeProcess; the node runs in a thread of the test."""

    def check(self) -> None:
        """Never raises: the process is always running."""

    def tail(self) -> str:
        return 'the log'


class Server(Node):
    """The lifecycle services of a node, which can lose a response as if the client was not discovered yet."""

    def __init__(self) -> None:
        super().__init__('segmenter')
        self.requests: list[type] = []
        self.accepts = True
        for service_type, name, respond in (
            (GetState, 'get_state', lambda response: None),
            (ChangeState, 'change_state', lambda response: setattr(response, 'success', self.accepts)),
        ):
            self.create_service(service_type, f'segmenter/{name}', self._serve(service_type, respond))

    def lose_first_response(self, name: str) -> None:
        [service] = [service for service in self.services if service.service_name.endswith(name)]
        send = service.send_response

        def lose(*_: Any) -> None:
            service.send_response = send

        service.send_response = lose

    def _serve(self, service_type: type, respond: Callable[[Any], None]) -> Callable[[Any, Any], Any]:
        def serve(_: Any, response: Any) -> Any:
            self.requests.append(service_type)
            respond(response)
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
def segmenter_client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmenterClient]:
    monkeypatch.setattr(client, 'RETRY_PERIOD_S', 0.2)
    made = SegmenterClient('segmenter_client', 10.0, Process())  # type: ignore[arg-type]
    yield made
    made.close()


def test_bring_up_repeats_a_request_whose_response_was_lost(server: Server, segmenter_client: SegmenterClient) -> None:
    server.lose_first_response('get_state')
    segmenter_client.bring_up(10.0)
    assert server.requests == [GetState, GetState, ChangeState, ChangeState]


def test_bring_up_requests_a_transition_once(server: Server, segmenter_client: SegmenterClient) -> None:
    server.lose_first_response('change_state')
    with pytest.raises(ClientError, match=r'(?s)waited 1 s for the node to configure.*the log'):
        segmenter_client.bring_up(1.0)
    assert server.requests.count(ChangeState) == 1


def test_bring_up_reports_a_refused_transition(server: Server, segmenter_client: SegmenterClient) -> None:
    server.accepts = False
    with pytest.raises(ClientError, match=r'(?s)could not configure.*the log'):
        segmenter_client.bring_up(10.0)


def test_spin_for_may_be_longer_than_the_timeout(server: Server) -> None:
    impatient = SegmenterClient('segmenter_client', 0.1, Process())  # type: ignore[arg-type]
    started_s = time.monotonic()
    impatient.spin_for(0.5)
    assert time.monotonic() - started_s >= 0.5
    impatient.close()
