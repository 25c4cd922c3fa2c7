"""Which image of a camera is processed next."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from instructsam_ros.inference import waiting_images
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.waiting_images import MAX_IMAGES, WaitingImages
from tests.support.worker_bench import RED, TIMEOUT_S, Bench, captured, wait_for


class Preference:
    """Prefers images as the object in place of their depth says."""

    max_hold_s = 0.5

    def __init__(self) -> None:
        self.verdicts: dict[str, bool | None] = {}

    def prefers(self, search: str) -> bool | None:
        return self.verdicts.get(search)


class Clock:
    """Replaces the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting_images, 'time', clock)
    return clock


@pytest.fixture
def preference() -> Preference:
    return Preference()


def image(name: str, clock: Clock, lap: int = 0) -> CapturedImage:
    return CapturedImage(name, depth=name, arrived_s=clock.now_s, lap=lap)


def test_newest_image_without_a_preference(clock: Clock):
    waiting = WaitingImages()
    first, second = image('first', clock), image('second', clock)
    assert [waiting.add(first), waiting.add(second)] == [0, 1]
    assert waiting.choose() is second
    assert waiting.take(second) == 0
    assert waiting.choose() is None


def test_image_with_depth_goes_before_a_newer_one_without(clock: Clock, preference: Preference):
    waiting = WaitingImages(preference)
    images = {name: image(name, clock) for name in ('old', 'with', 'without', 'open')}
    preference.verdicts = {'old': True, 'with': True, 'without': False}
    replaced = sum(waiting.add(each) for each in images.values())
    assert replaced == 2, 'the old one, and the one without as soon as there is a newer one'
    assert waiting.choose() is images['with']
    assert waiting.take(images['with']) == 0
    assert waiting.choose() is None, 'the last one may still get depth'
    preference.verdicts['open'] = True
    assert waiting.choose() is images['open']


def test_image_without_depth_is_taken_after_the_hold_time(clock: Clock, preference: Preference):
    waiting = WaitingImages(preference)
    preference.verdicts = {'first': False, 'second': False}
    waiting.add(image('first', clock))
    clock.now_s += 0.3
    second = image('second', clock)
    waiting.add(second)
    assert waiting.choose() is None
    assert waiting.hold_s() == pytest.approx(0.2)
    clock.now_s += 0.21
    assert waiting.choose() is second


def test_hold_time_of_a_request_begins_with_the_request(clock: Clock, preference: Preference):
    waiting = WaitingImages(preference)
    waiting.add(image('before', clock))
    clock.now_s += 1.0
    after = image('after', clock)
    waiting.add(after)
    assert waiting.choose(after_s=clock.now_s) is None
    clock.now_s += 0.51
    assert waiting.choose(after_s=clock.now_s - 0.51) is after
    preference.verdicts['before'] = True
    assert waiting.choose(after_s=clock.now_s - 0.51) is after


def test_number_of_images_is_limited(clock: Clock, preference: Preference):
    waiting = WaitingImages(preference)
    assert sum(waiting.add(image(str(number), clock)) for number in range(100)) == 100 - MAX_IMAGES
    assert len(waiting) == MAX_IMAGES


def test_images_of_an_earlier_lap_are_dropped(clock: Clock, preference: Preference):
    waiting = WaitingImages(preference)
    preference.verdicts['old'] = True
    waiting.add(image('old', clock))
    assert waiting.add(image('new', clock, lap=1)) == 1
    assert waiting.choose() is None


def test_image_that_was_put_back_waits_unless_there_is_a_newer_one(clock: Clock):
    waiting = WaitingImages()
    first = image('first', clock)
    assert not waiting.put_back(first)
    assert waiting.put_back(image('older', clock))
    assert waiting.choose() is first


@pytest.fixture
def bench(preference: Preference) -> Iterator[Bench]:
    bench = Bench(preference=preference)
    bench.permit(100)
    yield bench
    bench.close()


def test_scheduler_holds_images_back_and_gives_them_to_requests(bench: Bench, preference: Preference):
    bench.set_instructions(RED)
    assert isinstance(bench.scheduler, Scheduler)
    preference.max_hold_s = 60.0
    request = bench.scheduler.submit(RED, TIMEOUT_S)
    for stamp_ns in (1, 2, 3):
        bench.scheduler.add_image(captured(stamp_ns, depth=str(stamp_ns)))
    time.sleep(0.05)
    assert bench.gate.asked == []
    preference.verdicts['2'] = True
    bench.scheduler.wake()
    assert request.future.result(TIMEOUT_S).frame.stamp_ns == 2
    wait_for(lambda: bench.stamps == [2])
    preference.max_hold_s = 0.0
    bench.scheduler.wake()
    wait_for(lambda: bench.stamps == [2, 3])
