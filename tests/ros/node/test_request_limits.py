"""Bursts of service calls and goals: all are answered, beyond the limits with BUSY."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from rclpy.node import Node
from rclpy.qos import qos_profile_services_default
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import RequestError
from instructsam_ros.action import Track
from instructsam_ros.inference.error_codes import BusyError, ErrorCode
from instructsam_ros.messages.image import make_image
from instructsam_ros.msg import Segmentation
from instructsam_ros.node.request_limits import FEEDBACK_QOS, REQUEST_QOS, RequestLimits, WaitingRequests
from instructsam_ros.srv import Segment
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph

CLIENTS = 20
CALLS = 15


def make_clients(graph: Graph, count: int, qos: Any = REQUEST_QOS) -> list[Any]:
    nodes = [graph.add(Node(f'client_{number}', context=graph.context)) for number in range(count)]
    clients = [node.create_client(Segment, 'segmenter/segment', qos_profile=qos) for node in nodes]
    assert all(client.wait_for_service(20) for client in clients)
    return clients


def call_all(clients: list[Any], calls: int, image: Image) -> dict[str, Any]:
    """Call each service client `calls` times at once; return the futures by request_id."""
    ids = [(f'{number}.{call}', client) for call in range(calls) for number, client in enumerate(clients)]
    return {
        request_id: client.call_async(Segment.Request(instruction='red', image=image, request_id=request_id))
        for request_id, client in ids
    }


def replies(graph: Graph, futures: dict[str, Any]) -> list[Segment.Response]:
    """Wait for all replies; check that each is that to its request."""
    graph.wait_for(lambda: all(future.done() for future in futures.values()), 'all replies', timeout_s=60)
    assert all(future.result().segmentation.request_id == request_id for request_id, future in futures.items())
    return [future.result() for future in futures.values()]


# The default QoS, as that of users, is slow: queues of 10 overflow on a machine that stops the client for long enough.
@pytest.mark.parametrize(
    'qos', [REQUEST_QOS, pytest.param(qos_profile_services_default, marks=pytest.mark.slow)], ids=['deep', 'default']
)
def test_300_calls_of_20_clients_have_300_replies(graph: Graph, qos: Any):
    node = graph.segmenter(FakeSegmenter(delay_s=0.001), warmup=False, request_timeout=60.0)
    futures = call_all(make_clients(graph, CLIENTS, qos), CALLS, graph.image('red'))
    assert len(futures) == 300
    assert Counter(ErrorCode(reply.error_code).name for reply in replies(graph, futures)) == {'OK': 300}
    assert node.scheduler.pending_requests == 0


def test_calls_beyond_the_limit_are_busy_at_once(graph: Graph):
    fake = FakeSegmenter(delay_s=1.0)
    graph.segmenter(fake, warmup=False, request_timeout=60.0, max_pending_requests=3)
    futures = call_all(make_clients(graph, 2), 20, graph.image('red'))
    busy = list[Any]()

    def is_refused() -> bool:
        busy[:] = [future.result() for future in futures.values() if future.done() and not future.result().success]
        return len(busy) == 37

    graph.wait_for(is_refused, 'the refused ones')
    assert len(fake.asked) < 3, 'before the model is done'
    assert {reply.error_code for reply in busy} == {ErrorCode.BUSY}
    said = 'busy: 3 requests are waiting, the maximum (max_pending_requests); try again later'
    check_documented(said)
    assert {reply.message for reply in busy} == {reply.segmentation.message for reply in busy} == {said}
    assert Counter(ErrorCode(reply.error_code).name for reply in replies(graph, futures)) == {'OK': 3, 'BUSY': 37}
    [again] = replies(graph, call_all(make_clients(graph, 1), 1, graph.image('red')))
    assert again.success, 'the waiting ones are done'


def test_images_of_waiting_requests_are_limited_in_size(graph: Graph):
    graph.segmenter(FakeSegmenter(delay_s=0.5), warmup=False, request_timeout=60.0, max_pending_megabytes=1)
    image = make_image(np.zeros((300, 400, 3), np.uint8), 'rgb8', Header())  # 0.36 MB, of which two fit
    answers = replies(graph, call_all(make_clients(graph, 1), 4, image))
    assert Counter(ErrorCode(reply.error_code).name for reply in answers) == {'OK': 2, 'BUSY': 2}
    assert 'busy: 2 requests with 0.7 MB of images are waiting, and this one has 0.4 MB' in answers[-1].message
    check_documented(answers[-1].message)
    large = make_image(np.zeros((700, 700, 3), np.uint8), 'rgb8', Header())
    [never] = replies(graph, call_all(make_clients(graph, 1), 1, large))
    assert never.error_code == ErrorCode.INVALID_REQUEST
    check_documented(never.message)
    assert never.message.startswith('images: expected at most 1 MB (max_pending_megabytes), got 1.5 MB')


def test_timeout_holds_while_a_request_waits_for_others(graph: Graph):
    graph.segmenter(FakeSegmenter(delay_s=0.4), warmup=False, request_timeout=1.0)
    started_s = time.monotonic()
    answers = replies(graph, call_all(make_clients(graph, 2), 5, graph.image('red')))
    assert time.monotonic() - started_s < 3.5, 'and not 10 x 0.4 s'
    codes = Counter(ErrorCode(reply.error_code).name for reply in answers)
    assert set(codes) == {'OK', 'TIMEOUT'}
    assert 1 <= codes['OK'] <= 2
    assert {reply.message for reply in answers if not reply.success} == {'the model was not done within 1 s'}


def test_many_requests_without_an_image_take_the_first_one(graph: Graph):
    fake = FakeSegmenter()
    node = graph.segmenter(fake, warmup=False, request_timeout=60.0)
    camera, futures = graph.camera(), call_all(make_clients(graph, 5), 20, Image())
    graph.wait_for(lambda: node.scheduler.pending_requests == 100, 'the requests')
    sent = graph.publish_images(camera, until=lambda: all(future.done() for future in futures.values()))
    answers = replies(graph, futures)
    assert all(reply.success for reply in answers)
    assert {str(reply.segmentation.header.stamp) for reply in answers} <= {str(image.header.stamp) for image in sent}
    assert len({str(reply.segmentation.header.stamp) for reply in answers}) == 1


def test_deactivation_replies_to_all_that_wait(graph: Graph):
    node = graph.segmenter(request_timeout=60.0)
    futures = call_all(make_clients(graph, 3), 20, Image())
    graph.wait_for(lambda: node.scheduler.pending_requests == 60, 'the requests')
    graph.run_in_executor(node.trigger_deactivate)
    answers = replies(graph, futures)
    assert {reply.message for reply in answers} == {'the node was deactivated'}


def test_clients_that_vanish_while_they_wait_do_not_harm(graph: Graph):
    node = graph.segmenter(FakeSegmenter(delay_s=0.01), warmup=False, request_timeout=60.0)
    vanishing, [client] = make_clients(graph, 5), make_clients(graph, 1)
    call_all(vanishing, 10, Image())
    graph.wait_for(lambda: node.scheduler.pending_requests == 50, 'the requests')
    for each in vanishing:
        graph.run_in_executor(each.destroy)
    futures = call_all([client], 5, graph.image('red'))
    graph.publish_images(graph.camera(), until=lambda: node.scheduler.pending_requests == 0)
    assert all(reply.success for reply in replies(graph, futures))
    assert all(reply.success for reply in replies(graph, call_all([client], 5, graph.image('red'))))


def test_goals_in_a_burst_all_run_and_further_ones_are_busy(graph: Graph):
    node = graph.segmenter(FakeSegmenter(), warmup=False, max_goals=60)
    client = graph.action_client(
        Track, 'segmenter/track', goal_service_qos_profile=REQUEST_QOS,
        result_service_qos_profile=REQUEST_QOS, cancel_service_qos_profile=REQUEST_QOS,
        feedback_sub_qos_profile=FEEDBACK_QOS,
    )  # fmt: skip
    graph.wait_for(client.server_is_ready, 'the action server')
    received: dict[int, list[Segmentation]] = {number: [] for number in range(100)}
    sent = [
        client.send_goal_async(
            Track.Goal(instruction='red'),
            feedback_callback=lambda message, number=number: received[number].append(message.feedback.segmentation),
        )
        for number in received
    ]
    graph.wait_for(lambda: all(future.done() for future in sent), 'all goals to be accepted')
    graph.wait_for(lambda: len(node.scheduler.queries) == 60, 'the goals to be processed')
    results = [future.result().get_result_async() for future in sent]
    graph.wait_for(lambda: sum(future.done() for future in results) == 40, 'those beyond the limit to be aborted')
    refused = [number for number, future in enumerate(results) if future.done()]
    for number in refused:
        assert results[number].result().status == GoalStatus.STATUS_ABORTED
        assert results[number].result().result.error_code == ErrorCode.BUSY
        assert (
            results[number].result().result.message.startswith('busy: 60 goals are processed, the maximum (max_goals)')
        )
        check_documented(results[number].result().result.message)
    active = [number for number in received if number not in refused]
    graph.publish_images(graph.camera(), until=lambda: all(received[number] for number in active), rate_hz=2.0)
    graph.run_in_executor(node.trigger_deactivate)
    graph.wait_for(lambda: all(future.done() for future in results), 'all results')
    assert {results[number].result().result.message for number in active} == {'the node was deactivated'}
    graph.run_in_executor(client.destroy)


def test_removed_requests_make_room():
    waiting, limits = WaitingRequests(), RequestLimits(max_pending_requests=2, max_pending_megabytes=1)
    waiting.add(600_000, limits)
    with pytest.raises(BusyError, match=r'1 requests with 0\.6 MB of images are waiting, and this one has 0\.5 MB'):
        waiting.add(480_000, limits)
    waiting.add(400_000, limits)
    with pytest.raises(BusyError, match='2 requests are waiting'):
        waiting.add(0, limits)
    waiting.remove(600_000)
    waiting.add(600_000, limits)
    assert waiting.count == 2
    with pytest.raises(RequestError, match='expected at most 1 MB'):
        WaitingRequests().add(1_500_000, limits)
