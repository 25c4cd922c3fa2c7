"""Bursts of service calls and goals: all are answered, beyond the limits with BUSY."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rclpy.node import Node
from rclpy.qos import qos_profile_services_default

from instructsam_ros.node.request_limits import REQUEST_QOS
from instructsam_ros.srv import Segment
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph

CLIENTS = 20
CALLS = 15


def make_clients(graph: Graph, count: int, **options: Any) -> list[Any]:
    nodes = [graph.add(Node(f'client_{number}', context=graph.context)) for number in range(count)]
    clients = [node.create_client(Segment, 'segmenter/segment', **options) for node in nodes]
    assert all(client.wait_for_service(20) for client in clients)
    return clients


@pytest.mark.parametrize('qos', [qos_profile_services_default, REQUEST_QOS], ids=['default', 'deep'])
def test_300_calls_of_20_clients_have_300_replies(graph: Graph, qos: Any):
    graph.segmenter(FakeSegmenter(delay_s=0.001), warmup=False, request_timeout=60.0)
    clients, image = make_clients(graph, CLIENTS, qos_profile=qos), graph.image('red')
    started_s = time.monotonic()
    futures = {
        f'{number}.{call}': client.call_async(
            Segment.Request(instruction='red', image=image, request_id=f'{number}.{call}')
        )
        for call in range(CALLS)
        for number, client in enumerate(clients)
    }
    try:
        graph.wait_for(lambda: all(future.done() for future in futures.values()), 'all replies', timeout_s=40)
    finally:
        print(sum(future.done() for future in futures.values()), time.monotonic() - started_s)
    for request_id, future in futures.items():
        response = future.result()
        assert response.success
        assert response.segmentation.request_id == request_id
