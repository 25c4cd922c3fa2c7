"""The action `~/track`, as a client sees it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rcl_interfaces.srv import GetParameters

from instructsam_ros.msg import Segmentation
from tests.support.fake_segmenter import FakeSegmenter
from tests.support.graph import TIMEOUT_S, Graph
from tests.support.track_client import TrackClient


@pytest.fixture
def follower(graph: Graph):
    follower = TrackClient(graph)
    yield follower
    follower.close()


def test_feedback_is_published_until_the_goal_is_canceled(graph: Graph, follower: TrackClient):
    node, received = graph.segmenter(), []
    camera, handle = graph.camera(), follower.follow('red', received)
    sent = graph.publish_images(camera, until=lambda: len(received) >= 3)
    headers = [image.header for image in sent]
    assert all(each.header in headers and each.instruction == 'red' for each in received)
    assert {each.instances[0].id for each in received} == {'1'}
    assert 0 < received[0].latency < TIMEOUT_S
    graph.wait_for(handle.cancel_goal_async().done, 'the cancelling')
    status, result = follower.result(handle)
    assert (status, result.success, result.message) == (GoalStatus.STATUS_CANCELED, True, 'canceled')
    assert result.segmentation == received[-1]
    assert node.scheduler.queries == ()


def test_goals_and_the_instruction_are_processed_for_the_same_images(graph: Graph, follower: TrackClient):
    graph.segmenter(instruction='blue')
    received: dict[str, list[Segmentation]] = {'red': [], 'green': []}
    for instruction, messages in received.items():
        follower.follow(instruction, messages)
    answers = graph.subscribe()
    make = lambda: graph.image('red', 'green', 'blue')  # noqa: E731
    graph.publish_images(
        graph.camera(), make=make, until=lambda: answers and all(len(each) >= 3 for each in received.values())
    )
    assert {answer.instruction for answer in answers} == {'blue'}, 'goals are not published on the topic'
    stamps = [{str(message.header.stamp) for message in messages} for messages in received.values()]
    assert stamps[0] & stamps[1]


def test_lost_target_aborts_the_goal(graph: Graph, follower: TrackClient):
    graph.segmenter()
    received: list[Segmentation] = []
    handle = follower.follow('red', received, lost_after=Duration(nanosec=500_000_000))
    camera = graph.camera()
    graph.publish_images(camera, until=lambda: received)
    future = handle.get_result_async()
    graph.publish_images(camera, make=lambda: graph.image('blue'), until=future.done)
    result = future.result().result
    assert future.result().status == GoalStatus.STATUS_ABORTED
    assert (result.success, result.message) == (False, 'no instance found for 0.5 s')
    assert [instance.label for instance in result.segmentation.instances] == ['red']
    assert any(each.status == Segmentation.NO_TARGET for each in received), 'which is feedback all the same'


def test_missing_images_abort_the_goal(graph: Graph, follower: TrackClient):
    graph.segmenter()
    status, result = follower.result(follower.follow('red', lost_after=Duration(nanosec=200_000_000)))
    assert (status, result.message) == (GoalStatus.STATUS_ABORTED, 'no instance found for 0.2 s')


def test_deactivation_aborts_the_goals(graph: Graph, follower: TrackClient):
    node = graph.segmenter()
    handles = [follower.follow(text) for text in ('red', 'blue')]
    graph.run_in_executor(node.trigger_deactivate)
    for handle in handles:
        status, result = follower.result(handle)
        assert (status, result.success, result.message) == (
            GoalStatus.STATUS_ABORTED, False, 'the node was deactivated',
        )  # fmt: skip


@pytest.mark.parametrize(
    ('goal', 'said'),
    [
        ({'instruction': ' '}, 'expected text such as "the red mug", got an empty string'),
        ({'instruction': 'red', 'min_score': 1.5}, 'min_score: expected 0..1, got 1.5'),
        ({'instruction': 'red', 'camera': 'left'}, "got 'left'"),
    ],
    ids=['empty', 'min_score', 'camera'],
)
def test_invalid_goal_is_aborted_with_a_reason(graph: Graph, follower: TrackClient, goal: dict[str, Any], said: str):
    graph.segmenter()
    status, result = follower.result(follower.follow(**goal))
    assert (status, result.success) == (GoalStatus.STATUS_ABORTED, False)
    assert said in result.message


def test_goal_for_an_unconfigured_node_is_aborted(graph: Graph, follower: TrackClient):
    graph.segmenter(autostart=False)
    _, result = follower.result(follower.follow('red'))
    assert result.message == 'the node is unconfigured; configure and activate it first, as ros2 lifecycle does'


def test_min_score_of_the_goal_replaces_the_threshold(graph: Graph, follower: TrackClient):
    graph.segmenter(score_threshold=0.8)
    received: list[Segmentation] = []
    follower.follow('red everything', received, min_score=0.6)
    graph.publish_images(graph.camera(), until=lambda: received)
    assert len(received[0].instances) == 2


def test_failing_model_does_not_end_the_goal(graph: Graph, follower: TrackClient):
    graph.segmenter()
    received: list[Segmentation] = []
    handle = follower.follow('fail', received)
    graph.publish_images(graph.camera(), until=lambda: len(received) >= 2)
    assert (received[0].status, received[0].message) == (Segmentation.FAILED, 'RuntimeError: the model broke')
    assert handle.status in (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING)


def test_node_stays_responsive_during_inference(graph: Graph, follower: TrackClient):
    graph.segmenter(FakeSegmenter(delay_s=0.5), warmup=False)
    received: list[Segmentation] = []
    follower.follow('red', received)
    graph.publish_images(graph.camera(), until=lambda: received)
    parameters = graph.peer.create_client(GetParameters, 'segmenter/get_parameters')
    took_s = []
    for _ in range(10):
        started_s = time.monotonic()
        graph.call(parameters, GetParameters.Request(names=['device']))
        took_s.append(time.monotonic() - started_s)
    assert min(took_s) < 0.4
