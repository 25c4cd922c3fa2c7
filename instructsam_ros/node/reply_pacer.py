"""`ReplyPacer`: spreads the replies of a burst, so that they fit the queues of the clients."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

BURST = 8
"""Replies that are sent at once. The queue for responses of a client with default QoS holds 10, of all clients."""
PERIOD_S = 0.01
"""Time between further replies: a client that takes its messages every 80 ms loses none."""


class ReplyPacer:
    """Lets `burst` actions through at once, and further ones with a period between them, in their order.

    A response of a service is delivered to all of its clients (rmw_fastrtps), and each of them drops the oldest one in
    its queue when the next arrives. All methods may be called from any thread; none blocks.

    Args:
        burst: number of actions after a pause.
        period_s: time between further ones.
    """

    def __init__(self, burst: int = BURST, period_s: float = PERIOD_S) -> None:
        self._burst = burst
        self._period_s = period_s
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_running = False
        # Time at which `burst` actions are allowed again; each action moves it by a period.
        self._full_s = 0.0

    def run(self, action: Callable[[], object]) -> None:
        """Call an action now, in this thread, or as soon as it is its turn, in another one."""
        with self._lock:
            if self._waiting or self._is_running or self._delay_s() > 0:
                self._waiting.append(action)
                if not self._is_running:
                    self._is_running = True
                    threading.Thread(target=self._run_waiting, name='replies', daemon=True).start()
                return
            self._count()
        action()

    def run_now(self, action: Callable[[], object]) -> None:
        """Call an action now, unless others wait for their turn."""
        with self._lock:
            if not self._waiting:
                self._count()
                is_next = True
            else:
                self._waiting.append(action)
                is_next = False
        if is_next:
            action()

    def _delay_s(self) -> float:
        """Return the time until the next action."""
        return self._full_s - (self._burst - 1) * self._period_s - time.monotonic()

    def _count(self) -> None:
        self._full_s = max(self._full_s, time.monotonic()) + self._period_s

    def _run_waiting(self) -> None:
        while True:
            time.sleep(max(self._delay_s(), 0.0))
            with self._lock:
                if not self._waiting:
                    self._is_running = False  # the next one starts another thread
                    return
                action = self._waiting.popleft()
                self._count()
            try:
                action()
            except Exception:
                logger.exception('a reply could not be sent')
            del action  # or it holds its response until the next one
