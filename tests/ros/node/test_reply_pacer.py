"""`ReplyPacer`: a burst at once, further replies with a period, in order, without blocking."""

from __future__ import annotations

import threading
import time

from instructsam_ros.node.reply_pacer import ReplyPacer


def test_burst_runs_at_once_and_the_rest_with_a_period() -> None:
    pacer, done, finished = ReplyPacer(burst=3, period_s=0.02), list[tuple[int, float]](), threading.Event()
    started_s = time.monotonic()
    for number in range(8):
        pacer.run(lambda number=number: done.append((number, time.monotonic())))
    assert [number for number, _ in done[:3]] == [0, 1, 2], 'in the thread of the caller'
    assert time.monotonic() - started_s < 0.1, 'without blocking it'
    pacer.run(finished.set)
    assert finished.wait(10)
    assert [number for number, _ in done] == list(range(8))
    times_s = [at_s for _, at_s in done]
    # Between any action and the third one after it at least one period, whatever the load of this machine.
    assert all(later - earlier >= 0.019 for earlier, later in zip(times_s, times_s[3:]))  # noqa: B905
    assert times_s[7] - started_s >= 5 * 0.019


def test_burst_is_allowed_again_after_a_pause() -> None:
    pacer, finished = ReplyPacer(burst=2, period_s=0.01), threading.Event()
    for _ in range(3):
        pacer.run(lambda: None)
    pacer.run(finished.set)
    assert finished.wait(10)
    time.sleep(0.05)
    threads: list[int] = []
    for _ in range(2):
        pacer.run(lambda: threads.append(threading.get_ident()))
    assert threads == [threading.get_ident()] * 2


def test_exception_does_not_stop_the_others() -> None:
    pacer, finished = ReplyPacer(burst=1, period_s=0.001), threading.Event()
    pacer.run(lambda: None)
    pacer.run(lambda: 1 / 0)
    pacer.run(finished.set)
    assert finished.wait(10)
