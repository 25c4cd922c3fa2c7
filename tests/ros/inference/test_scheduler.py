"""Whose turn it is, and what is left out."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from instructsam_model import Instruction, Selection
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery, InferenceResult, StreamOptions
from instructsam_ros.inference.scheduler import Scheduler
from tests.support.worker_bench import BLUE, RED, TIMEOUT_S, Bench, wait_for

GREEN = Instruction('green')


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_the_newest_picture_wins(bench: Bench):
    bench.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2, 3, 4)
    bench.answer(2)
    wait_for(lambda: bench.stamps == [1, 4])
    assert bench.scheduler.replaced == 2


def test_a_picture_is_answered_once(bench: Bench):
    bench.stand(RED)
    bench.offer(1)
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    bench.scheduler.ask(BLUE, 10, capture=CapturedImage(2)).answer.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 2)]


def test_without_instruction_nothing_happens(bench: Bench):
    bench.answer(5)
    bench.offer(1, 2)
    bench.stand(RED)
    bench.offer(3)
    wait_for(lambda: bench.stamps == [3])
    bench.stand()
    bench.offer(4)
    bench.stand(BLUE)
    bench.offer(5)
    wait_for(lambda: bench.stamps == [3, 5])
    assert bench.gate.asked == [('red', 3), ('blue', 5)]


def test_a_picture_from_before_the_pause_is_forgotten(bench: Bench):
    bench.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2)
    bench.stand()
    bench.stand(BLUE)
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    bench.offer(3)
    wait_for(lambda: bench.stamps == [1, 3])


def test_requests_do_not_stop_the_stream(bench: Bench):
    bench.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    requests = [bench.scheduler.ask(BLUE, TIMEOUT_S, capture=CapturedImage(stamp)) for stamp in (11, 12, 13)]
    bench.offer(2)
    bench.answer(5)
    for request in requests:
        request.answer.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 11), ('red', 2), ('blue', 12), ('blue', 13)]


def test_several_instructions_are_answered_about_the_same_picture(bench: Bench):
    bench.stand(RED, BLUE, GREEN)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2, 3)
    bench.answer(6)
    wait_for(lambda: len(bench.delivered) == 6)
    assert bench.gate.asked == [(text, stamp) for stamp in (1, 3) for text in ('red', 'blue', 'green')]
    first = bench.gate.frames[:3]
    assert first[0] is first[1] is first[2], 'or it is encoded again'


def test_an_instruction_that_is_withdrawn_loses_its_turn(bench: Bench):
    red, blue = (ContinuousQuery(each, bench.delivered.append) for each in (RED, BLUE))
    bench.scheduler.stand([red, blue])
    bench.offer(1)
    bench.wait_until_busy()
    bench.scheduler.stand([red])
    bench.offer(2)
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1, 2])
    assert bench.gate.asked == [('red', 1), ('red', 2)]


def test_requests_go_first_and_in_order(bench: Bench):
    bench.stand(RED, BLUE)
    bench.offer(1)
    bench.wait_until_busy()
    jobs = [bench.scheduler.ask(Instruction(text), 10, capture=CapturedImage(9)) for text in ('first', 'second')]
    bench.answer(4)
    assert [job.answer.result(TIMEOUT_S).instruction.text for job in jobs] == ['first', 'second']
    wait_for(lambda: len(bench.gate.asked) == 4)
    assert bench.gate.asked == [('red', 1), ('first', 9), ('blue', 1), ('second', 9)]


def test_a_request_without_picture_takes_the_first_that_arrives_after_it(bench: Bench):
    bench.answer(5)
    bench.offer(1)
    jobs = [bench.scheduler.ask(Instruction(text), 10) for text in ('first', 'second')]
    bench.offer(2, 3)
    for job in jobs:
        assert job.answer.result(TIMEOUT_S).segmentation.stamp_ns == 2


def test_a_request_may_bring_its_own_selection(bench: Bench):
    bench.answer(5)
    standing, own = Selection(min_score=0.4), Selection(min_score=0.7)
    bench.scheduler.tune(StreamOptions(standing))
    bench.scheduler.ask(RED, 10, capture=CapturedImage(1), selection=own).answer.result(TIMEOUT_S)
    bench.scheduler.ask(RED, 10, capture=CapturedImage(1)).answer.result(TIMEOUT_S)
    assert bench.gate.selections == [own, standing]


def test_a_request_without_picture_times_out(bench: Bench):
    answer = bench.scheduler.ask(RED, 0.05).answer.result(TIMEOUT_S)
    assert answer.error == 'no image arrived within 0.05 s'
    wait_for(lambda: bench.scheduler.waiting == 0)
    bench.offer(1)
    bench.answer()
    bench.scheduler.ask(BLUE, 10, capture=CapturedImage(2)).answer.result(TIMEOUT_S)
    assert bench.gate.asked == [('blue', 2)], 'a request that timed out is not answered any more'


def test_a_request_times_out_while_the_model_is_busy(bench: Bench):
    running = bench.scheduler.ask(RED, 0.05, capture=CapturedImage(1))
    bench.wait_until_busy()
    waiting = bench.scheduler.ask(BLUE, 0.05, capture=CapturedImage(2))
    for job in (running, waiting):
        assert job.answer.result(TIMEOUT_S).error == 'the model was not done within 0.05 s'
    wait_for(lambda: bench.scheduler.waiting == 0)
    bench.answer()
    later = bench.scheduler.ask(RED, 10, capture=CapturedImage(3))
    bench.answer()
    assert later.answer.result(TIMEOUT_S).segmentation.stamp_ns == 3
    assert bench.gate.asked == [('red', 1), ('red', 3)]


def test_max_rate_spaces_the_pictures(bench: Bench):
    bench.answer(100)
    bench.scheduler.tune(StreamOptions(max_rate_hz=10.0))
    bench.stand(RED)
    started_s = time.monotonic()
    while len(bench.stamps) < 4:
        bench.offer(time.monotonic_ns())
        time.sleep(0.005)
        assert time.monotonic() < started_s + TIMEOUT_S
    assert time.monotonic() - started_s > 0.29


def test_max_rate_does_not_hold_up_requests(bench: Bench):
    bench.answer(100)
    bench.scheduler.tune(StreamOptions(max_rate_hz=0.01))
    bench.stand(RED)
    bench.offer(1)
    wait_for(lambda: bench.stamps == [1])
    bench.offer(2)
    job = bench.scheduler.ask(RED, 10, capture=CapturedImage(3))
    assert job.answer.result(TIMEOUT_S).segmentation is not None
    assert bench.stamps == [1]


def test_max_age_counts_from_the_stamp_to_the_turn(bench: Bench):
    bench.scheduler.tune(StreamOptions(max_age_s=0.5))
    bench.stand(RED)
    bench.scheduler.offer(CapturedImage(1, age_s=0.6))
    assert bench.scheduler.too_old == 1
    bench.scheduler.offer(CapturedImage(2, age_s=0.0))
    bench.wait_until_busy()
    bench.scheduler.offer(CapturedImage(3, age_s=0.0, arrived_s=time.monotonic() - 0.45))
    time.sleep(0.1)
    bench.answer(5)
    wait_for(lambda: bench.scheduler.too_old == 2)
    assert bench.gate.asked == [('red', 2)]


def test_says_when_every_picture_is_too_old(bench: Bench):
    bench.answer(100)
    bench.scheduler.tune(StreamOptions(max_age_s=1.0))
    bench.stand(RED)
    for stamp in range(10):
        assert bench.scheduler.complaint == ''
        bench.scheduler.offer(CapturedImage(stamp, age_s=3600.0))
    said = 'the last 10 images were all left out: the stamp of the newest was 3600.0 s old'
    assert bench.scheduler.complaint.startswith(said)
    bench.offer(11)
    wait_for(lambda: bench.stamps == [11])
    assert bench.scheduler.complaint == ''


@pytest.mark.parametrize('age_s', [-1e9, -0.001], ids=['clock set back', 'clocks not quite the same'])
def test_a_stamp_in_the_future_is_not_too_old(bench: Bench, age_s: float):
    bench.answer(5)
    bench.scheduler.tune(StreamOptions(max_age_s=0.5))
    bench.stand(RED)
    bench.scheduler.offer(CapturedImage(1, age_s=age_s))
    wait_for(lambda: bench.stamps == [1])


def test_clear_refuses_who_waits_and_forgets_the_picture(bench: Bench):
    bench.stand(RED, BLUE)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2)
    waiting = bench.scheduler.ask(BLUE, 10)
    bench.scheduler.clear('the node was deactivated')
    assert waiting.answer.result(TIMEOUT_S).error == 'the node was deactivated'
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    bench.scheduler.ask(BLUE, 10, capture=CapturedImage(3)).answer.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 3)]


@pytest.fixture
def pair() -> Iterator[Bench]:
    bench = Bench(cameras=('left', 'right'))
    yield bench
    bench.close()


def test_cameras_take_turns_however_fast_one_is(pair: Bench):
    pair.stand(RED)
    pair.offer(1, camera='left')
    pair.wait_until_busy()
    for stamp in range(2, 8):
        pair.offer(*[10 * stamp + number for number in range(5)], camera='left')
        pair.offer(stamp, camera='right')
        pair.answer()
        wait_for(lambda stamp=stamp: len(pair.gate.asked) == stamp)
    cameras = [answer.capture.camera for answer in pair.delivered]
    assert cameras == ['left', 'right', 'left', 'right', 'left', 'right']


def test_a_request_waits_for_the_picture_of_its_camera(pair: Bench):
    pair.answer(5)
    job = pair.scheduler.ask(RED, 10, camera='right')
    pair.offer(1, camera='left')
    pair.offer(2, camera='right')
    assert job.answer.result(TIMEOUT_S).segmentation.stamp_ns == 2


def test_a_question_about_one_camera_is_not_asked_about_another(pair: Bench):
    pair.answer(9)
    pair.scheduler.stand(
        [ContinuousQuery(RED, pair.delivered.append), ContinuousQuery(BLUE, pair.delivered.append, camera='right')]
    )
    pair.offer(1, camera='left')
    wait_for(lambda: pair.stamps == [1])
    pair.offer(2, camera='right')
    wait_for(lambda: pair.stamps == [1, 2, 2])
    assert pair.gate.asked == [('red', 1), ('red', 2), ('blue', 2)]
    pair.scheduler.stand([ContinuousQuery(BLUE, pair.delivered.append, camera='right')])
    pair.offer(3, 4, camera='left')
    assert pair.scheduler.replaced == 0, 'what nobody asks about is not replaced either'


def test_max_rate_is_that_of_each_camera(pair: Bench):
    pair.answer(9)
    pair.scheduler.tune(StreamOptions(max_rate_hz=0.01))
    pair.stand(RED)
    pair.offer(1, camera='left')
    pair.offer(2, camera='right')
    wait_for(lambda: sorted(pair.stamps) == [1, 2])


def test_what_is_answered_is_let_go_of_at_once():
    """Not when the garbage collector comes: beside the objects of torch it comes rarely, and pictures are large."""
    scheduler = Scheduler()
    gc.disable()
    try:
        capture = CapturedImage(1)
        job = scheduler.ask(RED, 100.0, capture=capture)
        assert scheduler.next_job(lambda: False) is job
        job.settle(InferenceResult(RED, capture))
        held = weakref.ref(capture)
        del job, capture
        wait_for(lambda: held() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize('newer', [False, True], ids=['none came', 'a newer one came'])
def test_a_picture_that_is_put_back_is_asked_about_from_the_start_unless_a_newer_one_comes(newer: bool):
    scheduler = Scheduler()
    scheduler.tune(StreamOptions(max_rate_hz=0.01))
    scheduler.stand([ContinuousQuery(each, lambda _: None) for each in (RED, BLUE)])
    scheduler.offer(CapturedImage(1))
    job = scheduler.next_job(lambda: False)
    assert job is not None
    assert job.capture is not None
    if newer:
        scheduler.offer(CapturedImage(2))
    scheduler.put_back(job.capture)
    given_up = threading.Event()
    timer = threading.Timer(5.0, lambda: (given_up.set(), scheduler.wake()))
    timer.start()
    turns = [scheduler.next_job(given_up.is_set) for _ in range(2)]
    timer.cancel()
    asked = [
        (turn.instruction, turn.capture.message) for turn in turns if turn is not None and turn.capture is not None
    ]
    assert asked == [(RED, 1 + newer), (BLUE, 1 + newer)]
    assert scheduler.replaced == newer


def test_a_picture_that_nobody_asks_about_any_more_is_not_kept():
    scheduler = Scheduler()
    scheduler.stand([ContinuousQuery(RED, lambda _: None)])
    scheduler.offer(CapturedImage(1))
    job = scheduler.next_job(lambda: False)
    assert job is not None
    assert job.capture is not None
    scheduler.stand([])
    scheduler.put_back(job.capture)
    scheduler.stand([ContinuousQuery(BLUE, lambda _: None)])
    timer = threading.Timer(0.1, scheduler.wake)  # for there is nothing that it could wait for
    timer.start()
    assert scheduler.next_job(iter([False, True]).__next__) is None
    timer.join()
