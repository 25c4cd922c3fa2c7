"""The thread that owns the model: whose turn it is, what is left out, and what it survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from instructsam_model import Frame, FrameError, Instruction, Segmentation, Selection
from instructsam_ros.worker import Answer, Capture, Tuning, Worker

RED, BLUE = Instruction('red'), Instruction('blue')
TIMEOUT_S = 10.0


class Gate:
    """A segmenter that waits for permission before each answer, so that tests decide what happens during inference."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.busy = threading.Event()
        self.asked: list[tuple[str, int]] = []
        self.selections: list[Selection | None] = []

    def segment(self, frame: Frame, instruction: Instruction, selection: Selection | None = None) -> Segmentation:
        self.asked.append((instruction.text, frame.stamp_ns))
        self.selections.append(selection)
        self.busy.set()
        assert self.permits.acquire(timeout=TIMEOUT_S)
        self.busy.clear()
        if 'fail' in instruction.text:
            raise RuntimeError('the model broke')
        return Segmentation((), instruction, '', frame.size_wh, frame.stamp_ns)


def decode(message: Any) -> Frame:
    if message == 'broken':
        raise FrameError('this one is broken')
    if message == 'odd':
        raise KeyError('odd')
    return Frame(np.zeros((2, 3, 3), dtype=np.uint8), stamp_ns=message)


class Bench:
    """A worker, its segmenter and what it has delivered."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.delivered: list[Answer] = []
        self.worker = Worker(lambda: self.gate, decode, self.delivered.append)
        self.worker.start()

    def offer(self, *stamps: Any) -> None:
        for stamp in stamps:
            self.worker.offer(Capture(stamp))

    def wait_until_busy(self) -> None:
        assert self.gate.busy.wait(TIMEOUT_S)

    def answer(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.permits.release()

    @property
    def stamps(self) -> list[int]:
        return [answer.segmentation.stamp_ns for answer in self.delivered if answer.segmentation is not None]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.answer(100)
    bench.worker.stop()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_the_newest_picture_wins(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2, 3, 4)
    bench.answer(2)
    wait_for(lambda: bench.stamps == [1, 4])
    assert bench.worker.replaced == 2


def test_a_picture_is_answered_once(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    time.sleep(0.05)
    assert bench.gate.asked == [('red', 1)]


def test_without_instruction_nothing_happens(bench: Bench):
    bench.answer(5)
    bench.offer(1, 2)
    bench.worker.stand(RED)
    bench.offer(3)
    wait_for(lambda: bench.stamps == [3])
    bench.worker.stand(None)
    bench.offer(4)
    bench.worker.stand(BLUE)
    bench.offer(5)
    wait_for(lambda: bench.stamps == [3, 5])
    assert bench.gate.asked == [('red', 3), ('blue', 5)]


def test_a_picture_from_before_the_pause_is_forgotten(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2)
    bench.worker.stand(None)
    bench.worker.stand(BLUE)
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    bench.offer(3)
    wait_for(lambda: bench.stamps == [1, 3])


def test_requests_go_first_and_in_order(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2)
    futures = [bench.worker.ask(Instruction(text), 10, capture=Capture(9)) for text in ('first', 'second')]
    bench.answer(4)
    assert [future.result(TIMEOUT_S).instruction.text for future in futures] == ['first', 'second']
    wait_for(lambda: len(bench.gate.asked) == 4)
    assert bench.gate.asked == [('red', 1), ('first', 9), ('second', 9), ('red', 2)]


def test_a_request_without_picture_takes_the_first_that_arrives_after_it(bench: Bench):
    bench.answer(5)
    bench.offer(1)
    futures = [bench.worker.ask(Instruction(text), 10) for text in ('first', 'second')]
    bench.offer(2, 3)
    for future in futures:
        assert future.result(TIMEOUT_S).segmentation.stamp_ns == 2


def test_a_request_may_bring_its_own_selection(bench: Bench):
    bench.answer(5)
    standing, own = Selection(min_score=0.4), Selection(min_score=0.7)
    bench.worker.tune(Tuning(standing))
    bench.worker.ask(RED, 10, capture=Capture(1), selection=own).result(TIMEOUT_S)
    bench.worker.ask(RED, 10, capture=Capture(1)).result(TIMEOUT_S)
    assert bench.gate.selections == [own, standing]


def test_a_request_without_picture_times_out(bench: Bench):
    answer = bench.worker.ask(RED, 0.05).result(TIMEOUT_S)
    assert answer.error == 'no image arrived within 0.05 s'
    bench.offer(1)
    bench.answer()
    time.sleep(0.05)
    assert not bench.gate.asked, 'a request that timed out is not answered any more'


def test_a_request_times_out_while_the_model_is_busy(bench: Bench):
    running = bench.worker.ask(RED, 0.05, capture=Capture(1))
    bench.wait_until_busy()
    waiting = bench.worker.ask(BLUE, 0.05, capture=Capture(2))
    for future in (running, waiting):
        assert future.result(TIMEOUT_S).error == 'the model was not done within 0.05 s'
    bench.answer()
    later = bench.worker.ask(RED, 10, capture=Capture(3))
    bench.answer()
    assert later.result(TIMEOUT_S).segmentation.stamp_ns == 3
    assert bench.gate.asked == [('red', 1), ('red', 3)]


def test_a_failure_of_the_model_is_an_answer(bench: Bench):
    bench.answer(5)
    bench.worker.stand(Instruction('fail'))
    bench.offer(1)
    wait_for(lambda: bench.delivered)
    answer = bench.delivered[0]
    assert (answer.segmentation, answer.error) == (None, 'RuntimeError: the model broke')
    assert answer.frame is not None
    assert isinstance(answer.cause, RuntimeError)
    bench.worker.stand(RED)
    bench.offer(2)
    wait_for(lambda: bench.stamps == [2])


def test_a_broken_picture_is_an_answer_without_frame(bench: Bench):
    bench.answer(5)
    bench.worker.stand(RED)
    bench.offer('broken')
    wait_for(lambda: bench.delivered)
    assert (bench.delivered[0].frame, bench.delivered[0].error) == (None, 'this one is broken')
    assert bench.worker.ask(RED, 10, capture=Capture('broken')).result(TIMEOUT_S).error == 'this one is broken'
    assert bench.worker.ask(RED, 10, capture=Capture('odd')).result(TIMEOUT_S).error == "KeyError: 'odd'"
    bench.offer(2)
    wait_for(lambda: bench.stamps == [2])


def test_max_rate_spaces_the_answers(bench: Bench):
    bench.answer(100)
    bench.worker.tune(Tuning(max_rate_hz=10.0))
    bench.worker.stand(RED)
    started_s = time.monotonic()
    while len(bench.stamps) < 4:
        bench.offer(time.monotonic_ns())
        time.sleep(0.005)
        assert time.monotonic() < started_s + TIMEOUT_S
    assert time.monotonic() - started_s > 0.29


def test_max_rate_does_not_hold_up_requests(bench: Bench):
    bench.answer(100)
    bench.worker.tune(Tuning(max_rate_hz=0.01))
    bench.worker.stand(RED)
    bench.offer(1)
    wait_for(lambda: bench.stamps == [1])
    bench.offer(2)
    assert bench.worker.ask(RED, 10, capture=Capture(3)).result(TIMEOUT_S).segmentation is not None
    assert bench.stamps == [1]


def test_max_age_counts_from_the_stamp_to_the_turn(bench: Bench):
    bench.worker.tune(Tuning(max_age_s=0.2))
    bench.worker.stand(RED)
    bench.worker.offer(Capture(1, age_s=0.3))
    assert bench.worker.too_old == 1
    bench.worker.offer(Capture(2, age_s=0.1))
    bench.wait_until_busy()
    bench.worker.offer(Capture(3, age_s=0.1))
    time.sleep(0.15)
    bench.answer(5)
    wait_for(lambda: bench.worker.too_old == 2)
    assert bench.gate.asked == [('red', 2)]


def test_clear_refuses_who_waits_and_forgets_the_picture(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    bench.offer(2)
    waiting = bench.worker.ask(BLUE, 10)
    bench.worker.clear('the node was deactivated')
    assert waiting.result(TIMEOUT_S).error == 'the node was deactivated'
    bench.answer(5)
    wait_for(lambda: bench.stamps == [1])
    time.sleep(0.05)
    assert bench.gate.asked == [('red', 1)]


def test_stop_waits_for_the_answer_in_progress_and_ends_the_thread(bench: Bench):
    bench.worker.stand(RED)
    bench.offer(1)
    bench.wait_until_busy()
    waiting = bench.worker.ask(BLUE, 10, capture=Capture(2))
    threading.Timer(0.1, bench.answer).start()
    bench.worker.stop()
    assert bench.stamps == [1]
    assert waiting.result(TIMEOUT_S).error == 'the node was shut down'
    assert not bench.worker._thread.is_alive()


def test_start_raises_what_loading_raises():
    def load() -> Any:
        raise OSError('no such file')

    worker = Worker(load, decode, lambda _: None)
    with pytest.raises(OSError, match='no such file'):
        worker.start()
    worker.stop()


def test_stop_before_start():
    Worker(Gate, decode, lambda _: None).stop()
