"""`Deadlines`: calls for a time in the future, all in one thread. Imports no ROS."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Deadlines:
    """Calls functions at their times; with hundreds of requests, a thread for each would be too much.

    The thread runs only while there is something to call. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._is_running = False

    def add(self, time_s: float, call: Callable[[], object]) -> None:
        """Call a function at a time on the clock of `time.monotonic`, from another thread.

        It cannot be canceled, so it must do nothing if it is not needed any more, and hold no more than it needs then.
        """
        with self._changed:
            # The number, because functions cannot be compared.
            heapq.heappush(self._calls, (time_s, next(self._numbers), call))
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name='deadlines', daemon=True).start()
            self._changed.notify_all()

    def _run(self) -> None:
        while (call := self._take()) is not None:
            try:
                call()
            except Exception:
                logger.exception('the call at a deadline failed')
            del call  # or it is held until the next one

    def _take(self) -> Callable[[], object] | None:
        """Wait for the next call and remove it; return None, and end the thread, if there is none."""
        with self._changed:
            while self._calls:
                wait_s = self._calls[0][0] - time.monotonic()
                if wait_s <= 0:
                    return heapq.heappop(self._calls)[2]
                self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
            self._is_running = False
            return None
