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


def test_feedback_is_about_the_newest_images_until_it_is_cancelled(graph: Graph, follower: TrackClient):
    node, heard = graph.segmenter(), []
    camera, handle = graph.camera(), follower.follow('red', heard)
    sent = graph.publish_images(camera, until=lambda: len(heard) >= 3)
    headers = [image.header for image in sent]
    assert all(each.header in headers and each.instruction == 'red' for each in heard)
    assert {each.instances[0].id for each in heard} == {'1'}
    assert 0 < heard[0].latency < TIMEOUT_S
    graph.wait_for(handle.cancel_goal_async().done, 'the cancelling')
    status, result = follower.result(handle)
    assert (status, result.success, result.message) == (GoalStatus.STATUS_CANCELED, True, 'canceled')
    assert result.segmentation == heard[-1]
    assert node.scheduler.queries == ()


def test_goals_and_the_standing_instruction_are_answered_about_the_same_images(graph: Graph, follower: TrackClient):
    graph.segmenter(instruction='blue')
    heard: dict[str, list[Segmentation]] = {'red': [], 'green': []}
    for instruction, messages in heard.items():
        follower.follow(instruction, messages)
    answers = graph.subscribe()
    make = lambda: graph.image('red', 'green', 'blue')  # noqa: E731
    graph.publish_images(
        graph.camera(), make=make, until=lambda: answers and all(len(each) >= 3 for each in heard.values())
    )
    assert {answer.instruction for answer in answers} == {'blue'}, 'goals are not published on the topic'
    stamps = [{str(message.header.stamp) for message in messages} for messages in heard.values()]
    assert stamps[0] & stamps[1]


def test_a_target_that_is_lost_ends_the_goal(graph: Graph, follower: TrackClient):
    graph.segmenter()
    heard: list[Segmentation] = []
    handle = follower.follow('red', heard, lost_after=Duration(nanosec=500_000_000))
    camera = graph.camera()
    graph.publish_images(camera, until=lambda: heard)
    future = handle.get_result_async()
    graph.publish_images(camera, make=lambda: graph.image('blue'), until=future.done)
    result = future.result().result
    assert future.result().status == GoalStatus.STATUS_ABORTED
    assert (result.success, result.message) == (False, 'no instance found for 0.5 s')
    assert [instance.label for instance in result.segmentation.instances] == ['red']
    assert any(each.status == Segmentation.NO_TARGET for each in heard), 'which is feedback all the same'


def test_a_camera_that_is_silent_ends_the_goal_too(graph: Graph, follower: TrackClient):
    graph.segmenter()
    status, result = follower.result(follower.follow('red', lost_after=Duration(nanosec=200_000_000)))
    assert (status, result.message) == (GoalStatus.STATUS_ABORTED, 'no instance found for 0.2 s')


def test_deactivating_ends_the_goals(graph: Graph, follower: TrackClient):
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
def test_a_goal_that_cannot_be_followed_is_told_why(
    graph: Graph, follower: TrackClient, goal: dict[str, Any], said: str
):
    graph.segmenter()
    status, result = follower.result(follower.follow(**goal))
    assert (status, result.success) == (GoalStatus.STATUS_ABORTED, False)
    assert said in result.message


def test_a_goal_of_an_inactive_node_is_told_so(graph: Graph, follower: TrackClient):
    graph.segmenter(autostart=False)
    _, result = follower.result(follower.follow('red'))
    assert result.message == 'the node is unconfigured; configure and activate it first, as ros2 lifecycle does'


def test_min_score_is_that_of_the_goal(graph: Graph, follower: TrackClient):
    graph.segmenter(score_threshold=0.8)
    heard: list[Segmentation] = []
    follower.follow('red everything', heard, min_score=0.6)
    graph.publish_images(graph.camera(), until=lambda: heard)
    assert len(heard[0].instances) == 2


def test_a_failing_model_is_feedback_and_not_the_end(graph: Graph, follower: TrackClient):
    graph.segmenter()
    heard: list[Segmentation] = []
    handle = follower.follow('fail', heard)
    graph.publish_images(graph.camera(), until=lambda: len(heard) >= 2)
    assert (heard[0].status, heard[0].message) == (Segmentation.FAILED, 'RuntimeError: the model broke')
    assert handle.status in (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING)


def test_the_node_does_everything_else_meanwhile(graph: Graph, follower: TrackClient):
    graph.segmenter(FakeSegmenter(delay_s=0.5), warmup=False)
    heard: list[Segmentation] = []
    follower.follow('red', heard)
    graph.publish_images(graph.camera(), until=lambda: heard)
    parameters = graph.peer.create_client(GetParameters, 'segmenter/get_parameters')
    took_s = []
    for _ in range(10):
        started_s = time.monotonic()
        graph.call(parameters, GetParameters.Request(names=['device']))
        took_s.append(time.monotonic() - started_s)
    assert min(took_s) < 0.4
