"""The account that a soak keeps: what counts as lost or wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from geometry_msgs.msg import Vector3
from sensor_msgs.msg import CameraInfo

from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import Instance, Segmentation
from instructsam_ros.srv import Segment
from instructsam_ros.tools import soak
from instructsam_ros.tools.soak import Soak


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(soak, 'time', clock)
    return clock


@pytest.fixture
def account(clock: Clock) -> Soak:
    """An account that hears nothing but what the test tells it."""
    silent: Any = SimpleNamespace(publish=lambda _: None, call_async=lambda _: SimpleNamespace(add_done_callback=id))
    make = lambda *_: silent  # noqa: E731
    node = SimpleNamespace(create_publisher=make, create_client=make, create_subscription=make, create_timer=make)
    return Soak(SimpleNamespace(node=node, segmenter=SimpleNamespace(pid='self')))


def see(account: Soak, *stamps_ns: int) -> None:
    for stamp_ns in stamps_ns:
        message = CameraInfo()
        message.header.stamp = make_stamp(stamp_ns)
        account._on_camera_info(message)


def hear(account: Soak, text: str, stamp_ns: int, latency_s: float = 0.1, status: int = Segmentation.OK) -> None:
    boxed = Instance(size=Vector3(x=0.1, y=0.1, z=0.1))
    message = Segmentation(instruction=text, latency=latency_s, status=status, instances=[boxed, Instance()])
    message.header.stamp = make_stamp(stamp_ns)
    account._on_answer(message)


def instruct(account: Soak) -> str:
    account._instruct()
    return account._given[-1][1]


def test_nothing_is_wrong_with_good_answers(account: Soak, clock: Clock):
    see(account, 10, 20, 30)
    text = instruct(account)
    for stamp_ns in (10, 30):
        clock.now_s += 1.0
        hear(account, text, stamp_ns)
    report = account.report()
    assert (report['answers'], report['instructions'], report['latency_p95_ms']) == (2, 1, 100.0)
    assert (report['lost_answers'], report['wrong_stamps'], report['wrong_instructions']) == (0, 0, 0)
    assert (report['instances'], report['boxes_3d']) == (4, 2)


@pytest.mark.parametrize('stamps_ns', [(10, 11), (20, 10), (10, 10)], ids=['of no image', 'backwards', 'twice'])
def test_stamps_that_are_wrong(account: Soak, stamps_ns: tuple[int, ...]):
    see(account, 10, 20)
    text = instruct(account)
    for stamp_ns in stamps_ns:
        hear(account, text, stamp_ns)
    assert account.report()['wrong_stamps'] == 1


def test_images_from_before_the_camera_was_heard_are_not_judged(account: Soak):
    see(account, 10)
    hear(account, instruct(account), 5)
    assert account.report()['wrong_stamps'] == 0


@pytest.mark.parametrize(('late_s', 'latency_s', 'wrong'), [(0.5, 0.1, 0), (3.0, 2.5, 0), (3.0, 0.5, 1)])
def test_an_instruction_may_be_answered_for_images_from_before_its_end(
    account: Soak, clock: Clock, late_s: float, latency_s: float, wrong: int
):
    see(account, 10)
    former = instruct(account)
    clock.now_s += 2.0
    instruct(account)
    clock.now_s += late_s
    hear(account, former, 10, latency_s)
    assert account.report()['wrong_instructions'] == wrong


def test_an_instruction_that_nobody_gave_is_wrong(account: Soak):
    see(account, 10)
    instruct(account)
    hear(account, 'something else', 10)
    assert account.report()['wrong_instructions'] == 1


def test_failures_and_requests_without_reply_are_lost(account: Soak):
    see(account, 10)
    hear(account, instruct(account), 10, status=Segmentation.FAILED)
    account._request()
    assert account.report()['lost_answers'] == 2


@pytest.mark.parametrize(('text', 'number', 'wrong'), [('red', '0', 0), ('blue', '0', 1), ('red', '1', 1)])
def test_a_reply_must_be_about_its_request(account: Soak, text: str, number: str, wrong: int):
    account._request()
    reply = Segment.Response(success=True, segmentation=Segmentation(instruction=text, request_id=number))
    account._on_reply('0', 'red', reply)
    report = account.report()
    assert (report['lost_answers'], report['wrong_instructions']) == (0, wrong)


def test_memory_growth_is_that_of_the_last_quarter_over_the_second(account: Soak):
    account._memory_mb = [100.0, 200.0, 210.0, 210.0, 215.0, 215.0, 230.0, 230.0]
    report = account.report()
    assert (report['memory_mb'], report['memory_growth_mb']) == (230.0, 20.0)
