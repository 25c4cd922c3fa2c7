"""`Deadlines`: calls at their times, in one thread."""

from __future__ import annotations

import threading
import time

from instructsam_ros.inference.deadlines import Deadlines

TIMEOUT_S = 10.0


def test_calls_run_in_the_order_of_their_times_and_not_before() -> None:
    deadlines, called, done = Deadlines(), list[tuple[float, float]](), threading.Event()
    now_s = time.monotonic()
    for delay_s in (0.09, 0.03, 0.06, 0.0):
        deadlines.add(now_s + delay_s, lambda delay_s=delay_s: called.append((delay_s, time.monotonic() - now_s)))
    deadlines.add(now_s + 0.1, done.set)
    assert done.wait(TIMEOUT_S)
    assert [delay_s for delay_s, _ in called] == [0.0, 0.03, 0.06, 0.09]
    assert all(at_s >= delay_s for delay_s, at_s in called)


def test_hundreds_of_deadlines_take_one_thread_which_ends_with_the_last() -> None:
    deadlines, done = Deadlines(), threading.Event()
    before = threading.active_count()
    for number in range(300):
        deadlines.add(time.monotonic() + 0.1 + number / 10_000, lambda: None)
    assert threading.active_count() == before + 1
    deadlines.add(time.monotonic() + 0.2, done.set)
    assert done.wait(TIMEOUT_S)
    until_s = time.monotonic() + TIMEOUT_S
    while threading.active_count() > before and time.monotonic() < until_s:
        time.sleep(0.01)
    assert threading.active_count() == before
    done.clear()
    deadlines.add(time.monotonic(), done.set)
    assert done.wait(TIMEOUT_S), 'another thread starts'


def test_exception_does_not_stop_the_others() -> None:
    deadlines, done = Deadlines(), threading.Event()
    deadlines.add(time.monotonic(), lambda: 1 / 0)
    deadlines.add(time.monotonic() + 0.01, done.set)
    assert done.wait(TIMEOUT_S)
