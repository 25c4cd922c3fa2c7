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
"""Time between further replies."""
FINISH_TIMEOUT_S = 5.0
"""A reply that has not been sent for this long, because the executor has stopped, does not hold up the others."""


class ReplyPacer:
    """Gives replies their turns: `burst` of them at once, further ones with a period between them, in their order.

    A response of a service is delivered to all of its clients (rmw_fastrtps), and each of them drops the oldest one in
    its queue when the next arrives. Replies that wait go one by one, and the period begins when the one before is sent:
    an executor takes one message of each client in a pass, so one that is slow must not send several in a pass. All
    methods may be called from any thread; none blocks.

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
        self._sent_s = 0.0
        # Time at which `burst` replies are allowed again; each one that is sent moves it by a period.
        self._full_s = 0.0

    def take_turn(self, action: Callable[[], object], *, urgent: bool = False) -> None:
        """Call an action, which leads to a reply and to `finish`, now in this thread or when it is its turn.

        Args:
            action: of the caller.
            urgent: now, unless others wait.
        """
        with self._changed:
            if self._is_running or not (urgent or self._has_burst()):
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
        self._sent_s = time.monotonic()
        self._full_s = max(self._full_s, self._sent_s) + self._period_s

    def _has_burst(self) -> bool:
        """Return whether one more reply fits the burst."""
        recent = max(self._full_s - time.monotonic(), 0.0) / self._period_s
        return self._unsent + recent <= self._burst - 1

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
                if self._unsent:
                    if not self._changed.wait(FINISH_TIMEOUT_S):
                        self._count_sent()
                elif (delay_s := self._sent_s + self._period_s - time.monotonic()) > 0:
                    self._changed.wait(delay_s)
                else:
                    self._unsent += 1
                    return self._waiting.popleft()
            self._is_running = False
            return None
