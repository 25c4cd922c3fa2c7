"""The order of requests, and which images are dropped."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from instructsam_model import CanceledError, Instruction, Selection
from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.inference.requests import ContinuousQuery, InferenceResult, StreamOptions
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.messages.stamp import read_stamp_ns
from tests.support.worker_bench import BLUE, RED, TIMEOUT_S, Bench, captured, wait_for

GREEN = Instruction('green')


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_newest_image_replaces_older_ones(bench: Bench):
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    bench.add_images(2, 3, 4)
    bench.permit(2)
    wait_for(lambda: bench.stamps == [1, 4])
    assert bench.scheduler.images_replaced == 2


def test_each_image_is_processed_once(bench: Bench):
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.permit(5)
    wait_for(lambda: bench.stamps == [1])
    bench.scheduler.submit(BLUE, 10, capture=captured(2)).future.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 2)]


def test_no_inference_without_queries(bench: Bench):
    bench.permit(5)
    bench.add_images(1, 2)
    bench.set_instructions(RED)
    bench.add_images(3)
    wait_for(lambda: bench.stamps == [3])
    bench.set_instructions()
    bench.add_images(4)
    bench.set_instructions(BLUE)
    bench.add_images(5)
    wait_for(lambda: bench.stamps == [3, 5])
    assert bench.gate.asked == [('red', 3), ('blue', 5)]


def test_waiting_image_is_dropped_while_idle(bench: Bench):
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    bench.add_images(2)
    bench.set_instructions()
    bench.set_instructions(BLUE)
    bench.permit(5)
    wait_for(lambda: bench.stamps == [1])
    bench.add_images(3)
    wait_for(lambda: bench.stamps == [1, 3])


def test_requests_do_not_stop_the_stream(bench: Bench):
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    requests = [bench.scheduler.submit(BLUE, TIMEOUT_S, capture=captured(stamp)) for stamp in (11, 12, 13)]
    bench.add_images(2)
    bench.permit(5)
    for request in requests:
        request.future.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 11), ('red', 2), ('blue', 12), ('blue', 13)]


def test_queries_are_processed_for_the_same_image(bench: Bench):
    bench.set_instructions(RED, BLUE, GREEN)
    bench.add_images(1)
    bench.wait_until_busy()
    bench.add_images(2, 3)
    bench.permit(6)
    wait_for(lambda: len(bench.published) == 6)
    assert bench.gate.asked == [(text, stamp) for stamp in (1, 3) for text in ('red', 'blue', 'green')]
    first = bench.gate.frames[:3]
    assert first[0] is first[1] is first[2], 'or it is encoded again'


def test_removed_query_loses_its_turn(bench: Bench):
    red, blue = (ContinuousQuery(each) for each in (RED, BLUE))
    bench.scheduler.set_queries([red, blue])
    bench.add_images(1)
    bench.wait_until_busy()
    bench.scheduler.set_queries([red])
    bench.add_images(2)
    bench.permit(5)
    wait_for(lambda: bench.stamps == [1, 2])
    assert bench.gate.asked == [('red', 1), ('red', 2)]


def test_requests_go_first_in_order(bench: Bench):
    bench.set_instructions(RED, BLUE)
    bench.add_images(1)
    bench.wait_until_busy()
    requests = [bench.scheduler.submit(Instruction(text), 10, capture=captured(9)) for text in ('first', 'second')]
    bench.permit(4)
    assert [request.future.result(TIMEOUT_S).instruction.text for request in requests] == ['first', 'second']
    wait_for(lambda: len(bench.gate.asked) == 4)
    assert bench.gate.asked == [('red', 1), ('first', 9), ('blue', 1), ('second', 9)]


def test_request_without_an_image_takes_the_next_one(bench: Bench):
    bench.permit(5)
    bench.add_images(1)
    requests = [bench.scheduler.submit(Instruction(text), 10) for text in ('first', 'second')]
    bench.add_images(2, 3)
    for request in requests:
        assert request.future.result(TIMEOUT_S).segmentation.stamp_ns == 2


def test_request_can_have_its_own_selection(bench: Bench):
    bench.permit(5)
    default, own = Selection(0.4, 0.5, 20), Selection(min_score=0.7)
    bench.scheduler.set_options(StreamOptions(score_threshold=0.4))
    bench.scheduler.submit(RED, 10, capture=captured(1), selection=own).future.result(TIMEOUT_S)
    bench.scheduler.submit(RED, 10, capture=captured(1)).future.result(TIMEOUT_S)
    assert bench.gate.selections == [own, default]


def test_request_without_an_image_times_out(bench: Bench):
    result = bench.scheduler.submit(RED, 0.05).future.result(TIMEOUT_S)
    assert result.message == 'no image arrived within 0.05 s'
    assert result.error_code == ErrorCode.TIMEOUT
    wait_for(lambda: bench.scheduler.pending_requests == 0)
    bench.add_images(1)
    bench.permit()
    bench.scheduler.submit(BLUE, 10, capture=captured(2)).future.result(TIMEOUT_S)
    assert bench.gate.asked == [('blue', 2)], 'a request that timed out is not answered any more'


def test_request_times_out_while_the_model_is_busy(bench: Bench):
    running = bench.scheduler.submit(RED, 0.5, capture=captured(1))
    bench.wait_until_busy()
    waiting = bench.scheduler.submit(BLUE, 0.05, capture=captured(2))
    assert waiting.future.result(TIMEOUT_S).message == 'the model was not done within 0.05 s'
    assert running.future.result(TIMEOUT_S).message == 'the model was not done within 0.5 s'
    wait_for(lambda: bench.scheduler.pending_requests == 0)
    bench.permit()
    later = bench.scheduler.submit(RED, 10, capture=captured(3))
    bench.permit()
    assert later.future.result(TIMEOUT_S).segmentation.stamp_ns == 3
    assert bench.gate.asked == [('red', 1), ('red', 3)]


def test_max_rate_limits_the_images(bench: Bench):
    bench.permit(100)
    bench.scheduler.set_options(StreamOptions(max_rate_hz=10.0))
    bench.set_instructions(RED)
    started_s = time.monotonic()
    while len(bench.stamps) < 4:
        bench.add_images(time.monotonic_ns())
        time.sleep(0.005)
        assert time.monotonic() < started_s + TIMEOUT_S
    assert time.monotonic() - started_s > 0.29


def test_max_rate_does_not_delay_requests(bench: Bench):
    bench.permit(100)
    bench.scheduler.set_options(StreamOptions(max_rate_hz=0.01))
    bench.set_instructions(RED)
    bench.add_images(1)
    wait_for(lambda: bench.stamps == [1])
    bench.add_images(2)
    request = bench.scheduler.submit(RED, 10, capture=captured(3))
    assert request.future.result(TIMEOUT_S).segmentation is not None
    assert bench.stamps == [1]


def test_max_age_is_measured_from_the_stamp_to_the_turn(bench: Bench):
    bench.scheduler.set_options(StreamOptions(max_age_s=0.5))
    bench.set_instructions(RED)
    bench.scheduler.add_image(captured(1, age_s=0.6))
    assert bench.scheduler.images_too_old == 1
    bench.scheduler.add_image(captured(2, age_s=0.0))
    bench.wait_until_busy()
    bench.scheduler.add_image(captured(3, age_s=0.0, arrived_s=time.monotonic() - 0.45))
    time.sleep(0.1)
    bench.permit(5)
    wait_for(lambda: bench.scheduler.images_too_old == 2)
    assert bench.gate.asked == [('red', 2)]


def test_warns_if_every_image_is_too_old(bench: Bench):
    bench.permit(100)
    bench.scheduler.set_options(StreamOptions(max_age_s=1.0))
    bench.set_instructions(RED)
    for stamp in range(10):
        assert bench.scheduler.warning == ''
        bench.scheduler.add_image(captured(stamp, age_s=3600.0))
    said = 'the last 10 images were dropped: the stamp of the newest was 3600.0 s old'
    assert bench.scheduler.warning.startswith(said)
    bench.add_images(11)
    wait_for(lambda: bench.stamps == [11])
    assert bench.scheduler.warning == ''


@pytest.mark.parametrize('age_s', [-1e9, -0.001], ids=['clock set back', 'clocks not quite the same'])
def test_stamp_in_the_future_is_not_too_old(bench: Bench, age_s: float):
    bench.permit(5)
    bench.scheduler.set_options(StreamOptions(max_age_s=0.5))
    bench.set_instructions(RED)
    bench.scheduler.add_image(captured(1, age_s=age_s))
    wait_for(lambda: bench.stamps == [1])


def test_clear_fails_waiting_requests_and_drops_the_image(bench: Bench):
    bench.set_instructions(RED, BLUE)
    bench.add_images(1)
    bench.wait_until_busy()
    bench.add_images(2)
    waiting = bench.scheduler.submit(BLUE, 10)
    bench.scheduler.clear(CanceledError('the node was deactivated'))
    result = waiting.future.result(TIMEOUT_S)
    assert (result.message, result.error_code) == ('the node was deactivated', ErrorCode.CANCELED)
    bench.permit(5)
    wait_for(lambda: bench.stamps == [1])
    bench.scheduler.submit(BLUE, 10, capture=captured(3)).future.result(TIMEOUT_S)
    assert bench.gate.asked == [('red', 1), ('blue', 3)]


@pytest.fixture
def pair() -> Iterator[Bench]:
    bench = Bench(cameras=('left', 'right'))
    yield bench
    bench.close()


def test_cameras_take_turns_at_different_rates(pair: Bench):
    pair.set_instructions(RED)
    pair.add_images(1, camera='left')
    pair.wait_until_busy()
    for stamp in range(2, 8):
        pair.add_images(*[10 * stamp + number for number in range(5)], camera='left')
        pair.add_images(stamp, camera='right')
        pair.permit()
        wait_for(lambda stamp=stamp: len(pair.gate.asked) == stamp)
    cameras = [result.capture.camera for result in pair.published]
    assert cameras == ['left', 'right', 'left', 'right', 'left', 'right']


def test_request_waits_for_an_image_of_its_camera(pair: Bench):
    pair.permit(5)
    request = pair.scheduler.submit(RED, 10, camera='right')
    pair.add_images(1, camera='left')
    pair.add_images(2, camera='right')
    assert request.future.result(TIMEOUT_S).segmentation.stamp_ns == 2


def test_query_for_one_camera_ignores_others(pair: Bench):
    pair.permit(9)
    pair.scheduler.set_queries([ContinuousQuery(RED), ContinuousQuery(BLUE, camera='right')])
    pair.add_images(1, camera='left')
    wait_for(lambda: pair.stamps == [1])
    pair.add_images(2, camera='right')
    wait_for(lambda: pair.stamps == [1, 2, 2])
    assert pair.gate.asked == [('red', 1), ('red', 2), ('blue', 2)]
    pair.scheduler.set_queries([ContinuousQuery(BLUE, camera='right')])
    pair.add_images(3, 4, camera='left')
    assert pair.scheduler.images_replaced == 0, 'what nobody asks about is not replaced either'


def test_max_rate_is_per_camera(pair: Bench):
    pair.permit(9)
    pair.scheduler.set_options(StreamOptions(max_rate_hz=0.01))
    pair.set_instructions(RED)
    pair.add_images(1, camera='left')
    pair.add_images(2, camera='right')
    wait_for(lambda: sorted(pair.stamps) == [1, 2])


def test_finished_request_is_freed_at_once():
    """Not when the garbage collector comes: beside the objects of torch it comes rarely, and images are large."""
    scheduler = Scheduler()
    gc.disable()
    try:
        capture = captured(1)
        request = scheduler.submit(RED, 100.0, capture=capture)
        assert scheduler.next_request(lambda: False) is request
        assert request.claim()
        request.finish(InferenceResult(RED, capture))
        held = weakref.ref(capture)
        del request, capture
        wait_for(lambda: held() is None)
    finally:
        gc.enable()


@pytest.mark.parametrize('newer', [False, True], ids=['none came', 'a newer one came'])
def test_put_back_processes_all_queries_again_unless_a_newer_image_arrives(newer: bool):
    scheduler = Scheduler()
    scheduler.set_options(StreamOptions(max_rate_hz=0.01))
    scheduler.set_queries([ContinuousQuery(each) for each in (RED, BLUE)])
    scheduler.add_image(captured(1))
    request = scheduler.next_request(lambda: False)
    assert request is not None
    assert request.capture is not None
    if newer:
        scheduler.add_image(captured(2))
    scheduler.put_back(request.capture)
    given_up = threading.Event()
    timer = threading.Timer(5.0, lambda: (given_up.set(), scheduler.wake()))
    timer.start()
    turns = [scheduler.next_request(given_up.is_set) for _ in range(2)]
    timer.cancel()
    asked = [
        (turn.instruction, read_stamp_ns(turn.capture.message.header.stamp))
        for turn in turns
        if turn is not None and turn.capture is not None
    ]
    assert asked == [(RED, 1 + newer), (BLUE, 1 + newer)]
    assert scheduler.images_replaced == newer


def test_put_back_without_queries_drops_the_image():
    scheduler = Scheduler()
    scheduler.set_queries([ContinuousQuery(RED)])
    scheduler.add_image(captured(1))
    request = scheduler.next_request(lambda: False)
    assert request is not None
    assert request.capture is not None
    scheduler.set_queries([])
    scheduler.put_back(request.capture)
    scheduler.set_queries([ContinuousQuery(BLUE)])
    timer = threading.Timer(0.1, scheduler.wake)  # for there is nothing that it could wait for
    timer.start()
    assert scheduler.next_request(iter([False, True]).__next__) is None
    timer.join()
