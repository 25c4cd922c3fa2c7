"""Stopping on SIGTERM."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from instructsam_training.engine.signals import PreemptionHandler


def test_sigterm_is_recorded_within_the_context_and_the_previous_handler_restored() -> None:
    received: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        handler = PreemptionHandler()
        with handler.installed():
            assert not handler.triggered
            os.kill(os.getpid(), signal.SIGTERM)
            assert handler.triggered
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert received == [signal.SIGTERM]


def test_thread_of_a_program_may_train() -> None:
    """Python allows handlers of signals in the main thread only."""

    def use() -> bool:
        with PreemptionHandler().installed():
            return True

    with ThreadPoolExecutor(max_workers=1) as threads:
        assert threads.submit(use).result()
