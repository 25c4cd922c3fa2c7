"""The thread that finishes results: their order, and what does not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from instructsam_ros.inference.requests import ContinuousQuery, InferenceRequest, InferenceResult
from instructsam_ros.inference.result_stage import CAPACITY, HARD_CAPACITY, PendingResult, ResultStage
from tests.support.worker_bench import RED, TIMEOUT_S, wait_for

QUERY = ContinuousQuery(RED)


class Stage:
    """A stage whose results are ready when the test says so."""

    def __init__(self) -> None:
        self.ready: set[PendingResult] = set()
        self.finished: list[PendingResult] = []
        self.gate = threading.Event()
        self.gate.set()
        self.stage = ResultStage(lambda pending: pending in self.ready, self._finish)

    def _finish(self, pending: PendingResult) -> None:
        assert self.gate.wait(TIMEOUT_S)
        self.finished.append(pending)
        if pending.request.camera == 'broken':
            raise RuntimeError('publishing failed')

    def add(
        self, camera: str = '', *, ready: bool = False, single: bool = False, timeout_s: float = 60
    ) -> PendingResult:
        request = InferenceRequest(RED, camera=camera, query=None if single else QUERY, timeout_s=timeout_s)
        pending = PendingResult(request, InferenceResult(RED))
        if ready:
            self.ready.add(pending)
        self.stage.put(pending)
        return pending

    def let(self, *results: PendingResult) -> None:
        self.ready.update(results)
        self.stage.notify()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.gate.set()
    stage.stage.close(TIMEOUT_S)


def test_results_of_a_camera_keep_their_order(stage: Stage):
    first, second, third = (stage.add() for _ in range(3))
    stage.let(third, second)
    wait_for(lambda: stage.stage.waiting == 3)
    assert stage.finished == []
    stage.let(first)
    wait_for(lambda: stage.finished == [first, second, third])
    assert not any(each.is_cut_short for each in stage.finished)


def test_other_cameras_and_single_requests_do_not_wait(stage: Stage):
    held = stage.add('left')
    others = [stage.add('right', ready=True), stage.add('left', ready=True, single=True)]
    wait_for(lambda: len(stage.finished) == 2)
    assert set(stage.finished) == set(others)
    assert stage.stage.waiting == 1
    stage.let(held)
    wait_for(lambda: held in stage.finished)


def test_single_requests_wait_for_themselves_only(stage: Stage):
    held, free = stage.add(single=True), stage.add(single=True, ready=True)
    wait_for(lambda: stage.finished == [free])
    assert stage.stage.waiting == 1
    stage.let(held)


def test_single_request_is_answered_before_its_timeout(stage: Stage):
    pending = stage.add(single=True, timeout_s=0.1)
    wait_for(lambda: stage.finished == [pending])
    assert pending.is_cut_short
    assert pending.request.deadline_s > time.monotonic() - 1


def test_oldest_waits_no_longer_if_too_many_wait(stage: Stage):
    results = [stage.add() for _ in range(CAPACITY + 3)]
    wait_for(lambda: stage.finished == results[:3])
    assert stage.stage.waiting == CAPACITY
    assert stage.stage.cut_short == 3
    assert all(each.is_cut_short for each in stage.finished)


def test_model_goes_on_until_results_can_be_finished_but_are_not(stage: Stage):
    stage.gate.clear()
    results = [stage.add(ready=True) for _ in range(HARD_CAPACITY + 1)]  # one is being finished
    blocked = threading.Thread(target=lambda: results.append(stage.add(ready=True)))
    blocked.start()
    blocked.join(0.1)
    assert blocked.is_alive()
    stage.gate.set()
    blocked.join(TIMEOUT_S)
    wait_for(lambda: stage.finished == results)


def test_flushed_results_do_not_wait(stage: Stage):
    old = stage.add()
    stage.stage.flush()
    new = stage.add()
    wait_for(lambda: stage.finished == [old])
    assert stage.stage.waiting == 1
    stage.let(new)


def test_cleared_results_are_returned(stage: Stage):
    pending = stage.add()
    assert stage.stage.clear() == [pending]
    assert stage.stage.waiting == 0
    assert stage.finished == []


def test_close_finishes_what_waits_and_a_new_result_starts_again(stage: Stage):
    threads = threading.active_count()
    pending = stage.add()
    stage.stage.close(TIMEOUT_S)
    assert stage.finished == [pending]
    assert threading.active_count() <= threads
    again = stage.add(ready=True)
    wait_for(lambda: stage.finished == [pending, again])


def test_stage_survives_a_failure(stage: Stage, caplog: pytest.LogCaptureFixture):
    stage.add('broken', ready=True)
    after = stage.add(ready=True)
    wait_for(lambda: after in stage.finished)
    assert 'publishing failed' in caplog.text


def test_actions_run_in_the_thread_of_the_results_before_results_that_wait(stage: Stage):
    names: list[str] = []
    waiting = stage.add()
    stage.stage.call(lambda: names.append(threading.current_thread().name))
    wait_for(lambda: names)
    assert (names, stage.finished) == (['results'], [])
    stage.gate.clear()
    stage.let(waiting)
    # The executor does not wait for the result that is being finished.
    stage.stage.call(lambda: names.append('second'))
    assert names == ['results']
    stage.gate.set()
    wait_for(lambda: names[1:] == ['second'])
