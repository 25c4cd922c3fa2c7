"""Workers are replaced if the model fails, runs out of memory or gets stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from instructsam_model import Instruction
from instructsam_ros.inference import supervisor
from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.inference.supervisor import FailureLimits, Supervisor
from tests.support.worker_bench import (
    BLUE,
    RED,
    TIMEOUT_S,
    Bench,
    Gate,
    ResultList,
    broken_image,
    captured,
    make_pipeline,
    wait_for,
)

TOO_MUCH, FAIL, EXIT = Instruction('too much'), Instruction('fail'), Instruction('exit')


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def ask(bench: Bench, instruction: Instruction, timeout_s: float = TIMEOUT_S) -> str:
    """The error of a result; empty for a good one."""
    bench.permit()
    return bench.scheduler.submit(instruction, timeout_s, capture=captured(1)).future.result(TIMEOUT_S).message


@pytest.mark.parametrize(
    ('instruction', 'said'),
    [(TOO_MUCH, 'OutOfMemoryError: CUDA out of memory'), (EXIT, 'SystemExit: a library had enough')],
    ids=['out of memory', 'end of the thread'],
)
def test_segmenter_is_reloaded_in_another_thread(bench: Bench, instruction: Instruction, said: str):
    assert ask(bench, instruction) == said
    wait_for(lambda: bench.supervisor.worker.segmenter is None)
    wait_for(lambda: bench.supervisor.check() == f'the segmenter is reloaded in 0 s, after: {said}')
    assert bench.supervisor.check() == ''
    assert ask(bench, RED) == ''
    assert (bench.loaded, bench.supervisor.restarts) == (2, 1)
    assert bench.gate.threads[0] is not bench.gate.threads[1]
    assert bench.supervisor.check() == bench.supervisor.error == ''


def test_segmenter_that_ran_out_of_memory_is_freed_before_reloading(bench: Bench):
    ask(bench, TOO_MUCH)
    worker = bench.supervisor.worker
    wait_for(lambda: not worker.is_alive)
    assert worker.segmenter is None
    assert bench.gate.closed == 1


def test_failure_does_not_reload_the_segmenter(bench: Bench):
    for _ in range(3):
        assert ask(bench, FAIL) == 'RuntimeError: the model broke'
        assert bench.supervisor.check() == ''
    assert bench.loaded == 1


def test_delay_doubles_each_time_reloading_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    now_s = time.monotonic()
    monkeypatch.setattr(supervisor, 'time', SimpleNamespace(monotonic=lambda: now_s))
    bench.load_errors = [OSError('no room')] * 2
    ask(bench, TOO_MUCH)
    said = []
    for _ in range(3):
        wait_for(lambda: not bench.supervisor.worker.is_alive)
        said.append(bench.supervisor.check())
        restarts = bench.supervisor.restarts
        now_s += float(said[-1].split(' in ')[1].split(' s')[0]) - 0.01
        bench.supervisor.check()
        assert bench.supervisor.restarts == restarts
        now_s += 0.02
        bench.supervisor.check()
        assert bench.supervisor.restarts == restarts + 1
    pauses = [text.split(',')[0].removeprefix('the segmenter is reloaded in ') for text in said]
    assert pauses == ['0 s', '1 s', '3 s']
    assert said[-1].endswith('after: OSError: no room')
    assert ask(bench, RED) == ''


@pytest.mark.parametrize('max_failures', [0, 3])
def test_exhausted_after_max_failures_in_a_row(bench: Bench, max_failures: int):
    bench.supervisor.limits = FailureLimits(max_failures=max_failures)
    for instruction in (FAIL, FAIL, RED, FAIL, FAIL):
        ask(bench, instruction)
        assert not bench.supervisor.is_exhausted
    ask(bench, FAIL)
    assert bench.supervisor.is_exhausted == (max_failures == 3)
    bench.supervisor.reset_failures()
    assert not bench.supervisor.is_exhausted


def test_broken_images_are_not_failures_of_the_model(bench: Bench):
    bench.scheduler.submit(RED, 10, capture=CapturedImage(broken_image())).future.result(TIMEOUT_S)
    assert bench.supervisor.failures == 0


def test_stuck_model_is_reported_once_and_requests_fail(bench: Bench):
    bench.gate.is_stuck = True
    bench.supervisor.limits = FailureLimits(stuck_timeout_s=0.2)
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    assert bench.supervisor.check() == ''
    waiting = [bench.scheduler.submit(BLUE, TIMEOUT_S, capture=capture) for capture in (None, captured(2))]
    reason = 'the model has been busy with one image for more than 0.2 s'
    wait_for(lambda: bench.supervisor.check() == reason)
    assert bench.supervisor.error == reason
    assert [request.future.result(0).message for request in waiting] == [reason, reason]
    assert [(each.message, each.error_code) for each in bench.published] == [(reason, ErrorCode.TIMEOUT)]
    assert bench.supervisor.failures == 1


def test_model_that_was_stuck_recovers(bench: Bench):
    bench.gate.is_stuck = True
    bench.supervisor.limits = FailureLimits(stuck_timeout_s=0.2)
    request = bench.scheduler.submit(RED, TIMEOUT_S, capture=captured(1))
    bench.wait_until_busy()
    wait_for(bench.supervisor.check)
    bench.supervisor.limits = FailureLimits(stuck_timeout_s=TIMEOUT_S)
    bench.permit()
    wait_for(lambda: bench.supervisor.worker.request is None)
    assert bench.supervisor.failures == 1, 'a result that came too late is none'
    assert ask(bench, BLUE) == ''
    assert bench.supervisor.check() == bench.supervisor.error == ''
    assert bench.loaded == 1
    assert request.future.result(0).segmentation is None, 'who was told that it failed is not told again'


def test_stuck_thread_is_abandoned(bench: Bench):
    bench.gate.is_stuck = True
    bench.supervisor.limits = FailureLimits(stuck_timeout_s=0.1)
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    stuck = bench.supervisor.worker
    wait_for(lambda: 'was abandoned' in bench.supervisor.check())
    wait_for(lambda: bench.loaded == 2)
    bench.supervisor.limits = FailureLimits()
    first = bench.gate
    bench.gate = Gate()  # so that the permit is not taken by the thread that is stuck
    assert stuck.is_alive
    first.permits.release()
    wait_for(lambda: not stuck.is_alive)
    assert [result.segmentation for result in bench.published] == [None], 'what comes too late is not delivered'


def test_no_third_thread_is_started_while_two_are_stuck(bench: Bench):
    bench.gate.is_stuck = True
    bench.supervisor.limits = FailureLimits(stuck_timeout_s=0.1)
    bench.set_instructions(RED)
    bench.add_images(1)
    said: list[str] = []

    def gave_up() -> bool:
        said.extend(filter(None, [bench.supervisor.check()]))
        bench.add_images(2)
        return 'restart the process' in said[-1] if said else False

    wait_for(gave_up)
    for _ in range(5):
        assert bench.supervisor.check() == ''
    assert bench.loaded == 2
    assert 'restart the process' in bench.supervisor.error


def test_stop_waits_for_the_request_in_progress_and_ends_the_thread(bench: Bench):
    bench.set_instructions(RED)
    bench.add_images(1)
    bench.wait_until_busy()
    waiting = bench.scheduler.submit(BLUE, 10, capture=captured(2))
    threading.Timer(0.1, bench.permit).start()
    bench.supervisor.stop('the node was shut down')
    assert bench.stamps == [1]
    assert waiting.future.result(TIMEOUT_S).message == 'the node was shut down'
    assert not bench.supervisor.worker.is_alive


def test_stop_times_out(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.gate.is_stuck = True
    monkeypatch.setattr(supervisor, 'STOP_TIMEOUT_S', 0.1)
    request = bench.scheduler.submit(RED, TIMEOUT_S, capture=captured(1))
    bench.wait_until_busy()
    bench.supervisor.stop('the node was shut down')
    assert request.future.result(0).message == 'the node was shut down'


def test_start_raises_the_error_of_loading():
    def load() -> Any:
        raise OSError('no such file')

    supervisor = Supervisor(load, make_pipeline(ResultList()), Scheduler())
    with pytest.raises(OSError, match='no such file'):
        supervisor.start().result(TIMEOUT_S)
    supervisor.stop('never mind')


def test_stop_before_start():
    Supervisor(Gate, make_pipeline(ResultList()), Scheduler()).stop('never mind')
