"""What a model that takes long is doing: as feedback of ~/track, in the log and on /diagnostics."""

from __future__ import annotations

import time

import pytest
from action_msgs.msg import GoalStatus
from rcl_interfaces.srv import GetParameters

from instructsam_ros.msg import Segmentation
from tests.support.diagnostics import OK, Diagnostics
from tests.support.graph import Graph
from tests.support.reporting_segmenter import ROUNDS, ReportingSegmenter
from tests.support.track_client import TrackClient


@pytest.fixture
def follower(graph: Graph):
    follower = TrackClient(graph)
    yield follower
    follower.close()


def test_progress_is_feedback_before_the_result(graph: Graph, follower: TrackClient):
    segmenter, received = ReportingSegmenter(), []
    graph.segmenter(segmenter, warmup=False)
    handle = follower.follow('red', received, whole=True)
    [image, *_] = graph.publish_images(graph.camera(), until=lambda: len(received) == len(ROUNDS))
    assert [(each.round, each.tool, each.phrase) for each in received] == [
        (each.round, each.tool, each.phrase) for each in ROUNDS
    ]
    assert [each.segmentation.message for each in received] == [str(each) for each in ROUNDS]
    last = received[-1].segmentation
    assert (last.status, last.instruction, last.width, last.height) == (Segmentation.IN_PROGRESS, 'red', 64, 48)
    assert last.header.frame_id == image.header.frame_id
    assert not last.instances
    segmenter.gate.set()
    graph.wait_for(lambda: len(received) > len(ROUNDS), 'the result')
    result = received[len(ROUNDS)]
    assert (result.segmentation.status, result.round, result.tool) == (Segmentation.OK, 0, '')
    assert result.segmentation.header == last.header
    graph.wait_for(handle.cancel_goal_async().done, 'the canceling')


def test_canceled_goal_ends_between_two_steps(graph: Graph, follower: TrackClient):
    segmenter, received = ReportingSegmenter(), []
    node = graph.segmenter(segmenter, warmup=False)
    handle = follower.follow('red', received, whole=True)
    camera = graph.camera()
    graph.publish_images(camera, until=lambda: any(each.round == 2 for each in received))
    canceled_s = time.monotonic()
    graph.wait_for(handle.cancel_goal_async().done, 'the canceling')
    status, result = follower.result(handle)
    assert (status, result.success) == (GoalStatus.STATUS_CANCELED, True)
    graph.wait_for(lambda: node.supervisor.worker.request is None, 'the model to stop')
    assert time.monotonic() - canceled_s < 2.0
    assert segmenter.asked == [], 'the request was not finished'


def test_log_and_diagnostics_say_what_the_model_is_doing(
    graph: Graph, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr('instructsam_ros.node.heartbeat.PERIOD_S', 0.1)
    segmenter = ReportingSegmenter()
    graph.segmenter(segmenter, warmup=False, instruction='red')
    diagnostics = Diagnostics(graph)
    graph.publish_images(graph.camera(), until=lambda: diagnostics.shows('masks', OK, f'working, {ROUNDS[-1]}'))
    assert diagnostics.values('node')['progress'] == str(ROUNDS[-1])
    # The executor is free all the time.
    client = graph.peer.create_client(GetParameters, 'segmenter/get_parameters')
    started_s = time.monotonic()
    graph.call(client, GetParameters.Request(names=['device']))
    assert time.monotonic() - started_s < 1.0
    segmenter.gate.set()
    logged = capfd.readouterr().err
    assert [logged.index(f"'red', {each}") for each in ROUNDS] == sorted(
        logged.index(f"'red', {each}") for each in ROUNDS
    )
