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
FINISH_TIMEOUT_S = 1.0
"""A reply that has not been sent for this long, because the executor has stopped, does not hold up the others."""


class ReplyPacer:
    """Gives replies their turns: `burst` of them at once, further ones with a period between them, in their order.

    A response of a service is delivered to all of its clients (rmw_fastrtps), and each of them drops the oldest one in
    its queue when the next arrives. The period begins when a reply is sent: an executor that was busy for a second must
    not send a hundred at once afterwards. All methods may be called from any thread; none blocks.

    Args:
        burst: number of replies after a pause.
        period_s: time between further ones.
    """

    def __init__(self, burst: int = BURST, period_s: float = PERIOD_S) -> None:
        self._burst = burst
        self._period_s = period_s
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_running = False
        self._unsent = 0
        # Time at which `burst` replies are allowed again; each one that is sent moves it by a period.
        self._full_s = 0.0

    def take_turn(self, action: Callable[[], object], *, urgent: bool = False) -> None:
        """Call an action, which leads to a reply and to `finish`, now in this thread or when it is its turn.

        Args:
            action: of the caller.
            urgent: now, unless others wait.
        """
        with self._changed:
            if self._waiting or not (urgent or self._delay_s() <= 0):
                self._waiting.append(action)
                if not self._is_running:
                    self._is_running = True
                    threading.Thread(target=self._run, name='replies', daemon=True).start()
                return
            self._unsent += 1
        action()

    def finish(self) -> None:
        """Count a reply that is being sent."""
        with self._changed:
            self._count_sent()
            self._changed.notify_all()

    def _count_sent(self) -> None:
        self._unsent = max(self._unsent - 1, 0)
        self._full_s = max(self._full_s, time.monotonic()) + self._period_s

    def _delay_s(self) -> float:
        """Return the time until the next turn, if those before are sent; 0 or less if it is now."""
        return max(self._full_s - time.monotonic(), 0.0) - (self._burst - self._unsent - 1) * self._period_s

    def _run(self) -> None:
        while (action := self._take()) is not None:
            try:
                action()
            except Exception:
                logger.exception('a reply could not be sent')
            del action  # or it holds its response until the next one

    def _take(self) -> Callable[[], object] | None:
        """Wait for the next turn; return None, and end the thread, if nothing waits."""
        with self._changed:
            while self._waiting:
                if (delay_s := self._delay_s()) <= 0:
                    self._unsent += 1
                    return self._waiting.popleft()
                if self._unsent < self._burst:
                    self._changed.wait(delay_s)
                elif not self._changed.wait(FINISH_TIMEOUT_S):
                    self._count_sent()
            self._is_running = False
            return None
