"""The node with the back end `sam3_agent` and a server that is slow, gone, and back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from action_msgs.msg import GoalStatus

from instructsam_model.sam3_agent.segmenter import AgentSegmenter
from instructsam_model.sam3_agent.vlm.server import Server
from instructsam_model.sam3_agent.vlm.server_vlm import ServerVlm
from instructsam_ros.msg import ErrorCode, Segmentation
from instructsam_ros.srv import Segment
from tests.support.diagnostics import ERROR, OK, Diagnostics
from tests.support.documented_faults import check_documented
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.fake_vlm_answers import Answer, image_count
from tests.support.fake_vlm_server import FakeVlmServer
from tests.support.graph import Graph
from tests.support.scripted_vlm import ACCEPT, EXAMINE, find, select
from tests.support.track_client import TrackClient


def reply(body: dict[str, Any]) -> str | Answer:
    """Find the red object; if the query wants it slowly, examine it, and think for a long time."""
    messages = body['messages']
    if image_count({'messages': messages[-1:]}) == 3:  # the image, the mask, its zoom pair
        return ACCEPT
    if len(messages) == 2:
        return find('red')
    if 'slowly' not in str(messages[1]):
        return select(1)
    return Answer(select(1), delay_s=60.0) if EXAMINE in str(messages[-2]) else EXAMINE


@pytest.fixture
def server() -> Iterator[FakeVlmServer]:
    server = FakeVlmServer(reply)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def agent(server: FakeVlmServer) -> AgentSegmenter:
    vlm = ServerVlm(Server(server.url, attempts=1), reply_form='text')
    return AgentSegmenter(vlm, FakeSegmenter())


def test_node_recovers_when_the_server_is_back(
    graph: Graph, server: FakeVlmServer, agent: AgentSegmenter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('instructsam_ros.node.heartbeat.PERIOD_S', 0.1)
    monkeypatch.setattr('instructsam_ros.inference.statistics.WINDOW_S', 1.0)
    graph.segmenter(agent, warmup=False, instruction='what is red?')
    answers, diagnostics, camera = graph.subscribe(), Diagnostics(graph), graph.camera()
    graph.publish_images(camera, until=lambda: answers)
    assert (answers[0].status, answers[0].instances[0].label) == (Segmentation.OK, 'red')
    assert answers[0].text.startswith("selected 1 mask of 'red' (2 rounds, 2 calls")
    # Gone: each result says so, and the level of the masks is ERROR.
    server.stop()
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', ERROR, server.url))
    assert (answers[-1].status, answers[-1].error_code) == (Segmentation.FAILED, ErrorCode.MODEL_ERROR)
    said, _, _ = answers[-1].message.replace(server.url, 'http://localhost:8000/v1').partition('; tried')
    check_documented(said)
    # Back: results without a reload, and the level recovers.
    server.start()
    graph.publish_images(camera, until=lambda: answers[-1].status == Segmentation.OK)
    graph.publish_images(camera, until=lambda: diagnostics.shows('masks', OK))
    assert diagnostics.values('checkpoint')['segmenter restarts'] == '0'


def test_cancel_after_the_second_round_closes_the_request_in_flight(
    graph: Graph, server: FakeVlmServer, agent: AgentSegmenter
):
    node, follower, received = graph.segmenter(agent, warmup=False), TrackClient(graph), []
    handle = follower.follow('find red, slowly', received, whole=True)
    graph.publish_images(graph.camera(), until=lambda: any(each.round == 3 for each in received))
    tools = [each.tool for each in received if each.tool]
    assert tools == ['segment_phrase', 'examine_each_mask']
    canceled_s = time.monotonic()
    graph.wait_for(handle.cancel_goal_async().done, 'the canceling')
    status, result = follower.result(handle)
    assert (status, result.success) == (GoalStatus.STATUS_CANCELED, True)
    server.wait_for_hang_up()
    graph.wait_for(lambda: node.supervisor.worker.request is None, 'the model to stop')
    assert time.monotonic() - canceled_s < 5.0
    follower.close()


def test_request_that_takes_too_long_stops_the_agent(graph: Graph, server: FakeVlmServer, agent: AgentSegmenter):
    graph.segmenter(agent, warmup=False, request_timeout=1.0)
    client = graph.peer.create_client(Segment, 'segmenter/segment')
    response = graph.call(client, Segment.Request(instruction='find red, slowly', image=graph.image('red')))
    assert (response.success, response.error_code) == (False, ErrorCode.TIMEOUT)
    server.wait_for_hang_up()
    response = graph.call(client, Segment.Request(instruction='find red', image=graph.image('red')))
    assert response.success
    assert [each.label for each in response.segmentation.instances] == ['red']
