"""`DepthSynchronizer`: finds the depth image that belongs to a color image, by their stamps."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any

from instructsam_ros.messages.stamp import read_stamp_ns

BUFFER_SIZE = 5
"""Messages. Enough for depth that arrives before its image; later messages go straight to its `PendingMatch`."""
ARRIVAL_TIMEOUT_S = 0.1
"""Time to wait for depth that has not arrived yet: drivers register depth to color before they send it."""
STREAM_TIMEOUT_S = 1.0
"""If no depth has arrived for this long, none is waited for."""


class PendingMatch:
    """The depth message nearest to one image so far; keeps that message alive as long as it lives itself.

    Attributes:
        stamp_ns: of the image.
        message: not decoded; None if none has arrived.
        offset_ns: between the two stamps.
    """

    def __init__(self, stamp_ns: int) -> None:
        self.stamp_ns = stamp_ns
        self.message: Any = None
        self.offset_ns = 0

    def update(self, message: Any) -> None:
        """Take a message if it is nearer."""
        offset_ns = abs(read_stamp_ns(message.header.stamp) - self.stamp_ns)
        if self.message is None or offset_ns < self.offset_ns:
            self.message, self.offset_ns = message, offset_ns


class DepthSynchronizer:
    """The last depth messages, and the matches of images that wait for their result. All methods are thread-safe.

    A result may take longer than messages stay in the buffer. So an image is registered when it arrives, and its match
    is updated with each message. A match ends when the image that holds it is released.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[Any] = deque(maxlen=BUFFER_SIZE)
        self._pending: weakref.WeakSet[PendingMatch] = weakref.WeakSet()
        self._last_arrival_s = float('-inf')

    @property
    def pending(self) -> int:
        """Number of images that are registered and not released."""
        return len(self._pending)

    def add(self, message: Any) -> None:
        """Add a depth message; costs one comparison for each pending match."""
        with self._changed:
            self._messages.append(message)
            self._last_arrival_s = time.monotonic()
            for match in self._pending:
                match.update(message)
            self._changed.notify_all()

    def register(self, stamp_ns: int) -> PendingMatch:
        """Start to look for the depth of an image."""
        match = PendingMatch(stamp_ns)
        with self._changed:
            for message in self._messages:
                match.update(message)
            self._pending.add(match)
        return match

    def resolve(self, match: PendingMatch) -> Any:
        """Return the nearest message, after waiting for one that may still arrive; None if there is none."""
        with self._changed:
            is_streaming = time.monotonic() - self._last_arrival_s < STREAM_TIMEOUT_S
            self._changed.wait_for(lambda: self._has_passed(match), ARRIVAL_TIMEOUT_S if is_streaming else 0.0)
            self._pending.discard(match)
            return match.message

    def _has_passed(self, match: PendingMatch) -> bool:
        newest = self._messages[-1] if self._messages else None
        return newest is not None and read_stamp_ns(newest.header.stamp) >= match.stamp_ns
