"""`ReplyPacer`: a burst at once, further replies with a period, in order, without blocking."""

from __future__ import annotations

import threading
import time

from instructsam_ros.node.reply_pacer import ReplyPacer

TIMEOUT_S = 10.0


def test_burst_is_at_once_and_the_rest_with_a_period() -> None:
    pacer, done, finished = ReplyPacer(burst=3, period_s=0.02), list[tuple[int, float]](), threading.Event()

    def send(number: int) -> None:
        done.append((number, time.monotonic()))
        pacer.finish()
        if number == 8:
            finished.set()

    started_s = time.monotonic()
    for number in range(9):
        pacer.take_turn(lambda number=number: send(number))
    assert [number for number, _ in done[:3]] == [0, 1, 2], 'in the thread of the caller'
    assert finished.wait(TIMEOUT_S)
    assert [number for number, _ in done] == list(range(9))
    times_s = [at_s for _, at_s in done]
    # Between any reply and the third one after it at least one period, whatever the load of this machine.
    assert all(later - earlier >= 0.019 for earlier, later in zip(times_s, times_s[3:]))  # noqa: B905
    assert times_s[8] - started_s >= 6 * 0.019


def test_turns_wait_for_replies_that_are_not_sent_yet() -> None:
    """An executor that was busy must not send all at once afterwards."""
    pacer, turns = ReplyPacer(burst=2, period_s=0.001), list[int]()
    for number in range(5):
        pacer.take_turn(lambda number=number: turns.append(number))
    time.sleep(0.1)
    assert turns == [0, 1], 'although their periods are over'
    pacer.finish()
    until_s = time.monotonic() + TIMEOUT_S
    while len(turns) < 3 and time.monotonic() < until_s:
        time.sleep(0.001)
    assert turns == [0, 1, 2]


def test_urgent_replies_do_not_overtake_those_that_wait() -> None:
    pacer, turns, done = ReplyPacer(burst=1, period_s=0.01), list[str](), threading.Event()
    for name in ('first', 'second'):
        pacer.take_turn(lambda name=name: (turns.append(name), pacer.finish()))
    pacer.take_turn(lambda: (turns.append('urgent'), done.set()), urgent=True)
    assert done.wait(TIMEOUT_S)
    assert turns == ['first', 'second', 'urgent']
    for _ in range(3):
        pacer.take_turn(lambda: turns.append('at once'), urgent=True)
    assert turns[3:] == ['at once'] * 3


def test_exception_does_not_stop_the_others() -> None:
    pacer, finished = ReplyPacer(burst=1, period_s=0.001), threading.Event()
    pacer.take_turn(pacer.finish)
    pacer.take_turn(lambda: 1 / pacer.finish())  # type: ignore[func-returns-value, operator]
    pacer.take_turn(finished.set)
    assert finished.wait(TIMEOUT_S)
