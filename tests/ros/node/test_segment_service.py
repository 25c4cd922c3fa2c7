"""`~/segment`: one request, one response.

Covers node/client_requests.py.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.srv import Segment
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import Graph


@pytest.fixture
def client(graph: Graph) -> Any:
    return graph.peer.create_client(Segment, 'segmenter/segment')


def test_request_with_an_image(graph: Graph, client: Any):
    graph.segmenter()
    image = graph.image('red', 'green')
    response = graph.call(client, Segment.Request(instruction='green red', image=image))
    assert (response.success, response.message) == (True, '')
    assert response.segmentation.header == response.mask.header == image.header
    assert [instance.label for instance in response.segmentation.instances] == ['red', 'green']
    assert response.segmentation.instruction == 'green red'
    assert (response.mask.encoding, response.mask.width, response.mask.height) == ('mono8', 64, 48)
    assert np.count_nonzero(response.mask.data) == 100


def test_no_instance_is_a_success(graph: Graph, client: Any):
    graph.segmenter()
    response = graph.call(client, Segment.Request(instruction='blue', image=graph.image('red')))
    assert response.success
    assert response.segmentation.status == Segmentation.NO_TARGET
    assert not np.any(response.mask.data)


def test_response_is_sent_as_soon_as_the_model_is_done(graph: Graph, client: Any):
    graph.segmenter(FakeSegmenter(delay_s=0.05), warmup=False)
    took_s = []
    for _ in range(6):
        started_s = time.monotonic()
        assert graph.call(client, Segment.Request(instruction='red', image=graph.image('red'))).success
        took_s.append(time.monotonic() - started_s)
    assert np.median(took_s) < 0.3, 'and does not wait for something else to wake the executor'


def test_min_score_replaces_the_threshold_of_the_node(graph: Graph, client: Any):
    graph.segmenter(score_threshold=0.8)
    for min_score, count in ((0.0, 1), (0.6, 2), (0.95, 0)):
        request = Segment.Request(instruction='red everything', image=graph.image('red'), min_score=min_score)
        assert len(graph.call(client, request).segmentation.instances) == count


def test_request_without_an_image_takes_the_first_that_arrives(graph: Graph, client: Any):
    node = graph.segmenter()
    camera = graph.camera()
    before = graph.publish_images(camera, until=lambda: node.statistics.received >= 3)
    assert client.wait_for_service(10)
    future = client.call_async(Segment.Request(instruction='red'))
    graph.wait_for(lambda: node.scheduler.pending_requests, 'the request to arrive')
    after = graph.publish_images(camera, until=future.done)
    header = future.result().segmentation.header
    assert header not in [image.header for image in before]
    assert header in [image.header for image in after]


@pytest.mark.parametrize(
    ('request_', 'said', 'code'),
    [
        (Segment.Request(instruction=''), 'expected text such as "the red mug", got an empty string',
         ErrorCode.INVALID_REQUEST),
        (Segment.Request(instruction='x' * 10_000), 'expected at most 4096 characters, got 10000',
         ErrorCode.INVALID_REQUEST),
        (Segment.Request(instruction='red', min_score=1.5), 'min_score: expected 0..1, got 1.5',
         ErrorCode.INVALID_REQUEST),
        (Segment.Request(instruction='red', image=Image(encoding='rgb8', width=4, height=4, step=12)),
         'data is 0 bytes', ErrorCode.BAD_IMAGE),
        (Segment.Request(instruction='red', image=Image(encoding='32FC1', width=1, height=1, step=4, data=bytes(4))),
         "'32FC1' is not a color or gray image", ErrorCode.BAD_IMAGE),
        (Segment.Request(instruction='fail', image=Image(encoding='mono8', width=1, height=1, step=1, data=b'a')),
         'RuntimeError: the model broke', ErrorCode.MODEL_ERROR),
    ],
    ids=['empty instruction', 'long instruction', 'wrong min_score', 'image without data', 'depth image', 'model'],
)  # fmt: skip
def test_failed_request_has_a_reason_and_an_error_code(graph: Graph, client: Any, request_: Any, said: str, code: int):
    graph.segmenter()
    response = graph.call(client, request_)
    assert not response.success
    assert said in response.message
    assert (response.segmentation.status, response.segmentation.message) == (Segmentation.FAILED, response.message)
    assert response.error_code == response.segmentation.error_code == code


def test_request_times_out_without_images(graph: Graph, client: Any):
    graph.segmenter(request_timeout=0.3)
    started_s = time.monotonic()
    response = graph.call(client, Segment.Request(instruction='red'))
    assert (response.success, response.message) == (False, 'no image arrived within 0.3 s')
    assert response.error_code == ErrorCode.TIMEOUT
    assert time.monotonic() - started_s < 5


def test_request_times_out_with_a_slow_model(graph: Graph, client: Any):
    graph.segmenter(FakeSegmenter(delay_s=1.0), warmup=False, request_timeout=0.2)
    response = graph.call(client, Segment.Request(instruction='red', image=graph.image('red')))
    assert (response.success, response.message) == (False, 'the model was not done within 0.2 s')


def test_request_to_an_inactive_node_fails(graph: Graph, client: Any):
    node = graph.segmenter(autostart=False)
    for state in ('unconfigured', 'inactive'):
        assert node.state == state
        response = graph.call(client, Segment.Request(instruction='red', image=graph.image('red')))
        assert not response.success
        assert f'the node is {state}' in response.message
        assert response.error_code == response.segmentation.error_code == ErrorCode.NOT_ACTIVE
        if state == 'unconfigured':  # an impossible transition would end the executor before Kilted
            graph.run_in_executor(node.trigger_configure)


def test_deactivation_fails_waiting_requests(graph: Graph, client: Any):
    node = graph.segmenter()
    assert client.wait_for_service(10)
    future = client.call_async(Segment.Request(instruction='red'))
    graph.wait_for(lambda: node.scheduler.pending_requests, 'the request to arrive')
    graph.run_in_executor(node.trigger_deactivate)
    graph.wait_for(future.done, 'the answer')
    assert future.result().message == 'the node was deactivated'
    assert future.result().error_code == ErrorCode.CANCELED


def test_deactivation_cancels_the_request_in_progress(graph: Graph, client: Any):
    fake = FakeSegmenter(delay_s=10.0)
    node = graph.segmenter(fake, warmup=False, request_timeout=60.0)
    assert client.wait_for_service(10)
    future = client.call_async(Segment.Request(instruction='red', image=graph.image('red')))
    graph.wait_for(lambda: fake.asked, 'the request to be processed')
    started_s = time.monotonic()
    graph.run_in_executor(node.trigger_deactivate)
    graph.wait_for(future.done, 'the response')
    assert (future.result().error_code, future.result().message) == (ErrorCode.CANCELED, 'the node was deactivated')
    graph.run_in_executor(node.trigger_cleanup)
    assert time.monotonic() - started_s < 5, 'the model stops'
    assert fake.closed == 1


def test_node_stays_responsive_during_inference(graph: Graph, client: Any):
    graph.segmenter(FakeSegmenter(delay_s=0.5), warmup=False)
    parameters = graph.peer.create_client(GetParameters, 'segmenter/get_parameters')
    assert client.wait_for_service(10)
    futures = [
        client.call_async(Segment.Request(instruction=text, image=graph.image('red'))) for text in ('red', 'blue')
    ]
    graph.call(parameters, GetParameters.Request(names=['device']))
    assert not any(future.done() for future in futures)
    graph.wait_for(lambda: all(future.done() for future in futures), 'both answers')
    assert [future.result().segmentation.instruction for future in futures] == ['red', 'blue']
