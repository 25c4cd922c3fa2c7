"""A process that has finished waits for the others as long as they make progress."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from instructsam_training.evaluation.shared_progress import SharedProgress


def test_slow_process_is_waited_for_longer_than_the_limit_while_it_makes_progress(tmp_path: Path) -> None:
    fast = SharedProgress(tmp_path, 0, 2, timeout_s=1.0)
    slow = SharedProgress(tmp_path, 1, 2, timeout_s=1.0)
    waiter = threading.Thread(target=fast.finish)
    started = time.monotonic()
    waiter.start()
    while time.monotonic() - started < 1.8:
        slow.advance()
        waiter.join(0.1)
        assert waiter.is_alive()
    slow.finish()
    waiter.join(10)
    assert not waiter.is_alive()


def test_process_that_stops_is_named(tmp_path: Path) -> None:
    # Of an earlier run that finished: replaced when the process starts.
    (tmp_path / '.progress-1').write_text('finished')
    first = SharedProgress(tmp_path, 0, 2, timeout_s=0.3)
    SharedProgress(tmp_path, 1, 2, timeout_s=0.3).advance()
    with pytest.raises(TimeoutError, match=r'process 1 has made no progress for 0\.005 minutes; the same command'):
        first.finish()


def test_single_process_does_not_wait(tmp_path: Path) -> None:
    started = time.monotonic()
    SharedProgress(tmp_path, 0, 1, timeout_s=60).finish()
    assert time.monotonic() - started < 1
