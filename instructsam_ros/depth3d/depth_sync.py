"""`DepthSynchronizer`: which depth picture belongs to which image, by their stamps; knows nothing else about either."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Any

from instructsam_ros.messages.stamp import read_stamp_ns

KEPT = 5
"""Messages. Enough for depth that comes before its image; what comes after goes straight to its `Match`."""
WAIT_S = 0.1
"""How long an answer waits for depth that is still on its way: drivers register depth to color before they send it."""
SILENT_S = 1.0
"""Nothing is on its way where nothing has arrived for so long."""


class Match:
    """The depth message nearest to one image so far; it holds that message as long as somebody holds the match.

    Attributes:
        stamp_ns: of the image.
        message: not decoded; None while none has been seen.
        offset_ns: between the two stamps.
    """

    def __init__(self, stamp_ns: int) -> None:
        self.stamp_ns = stamp_ns
        self.message: Any = None
        self.offset_ns = 0

    def offer(self, message: Any) -> None:
        """Take a message if it is nearer."""
        offset_ns = abs(read_stamp_ns(message.header.stamp) - self.stamp_ns)
        if self.message is None or offset_ns < self.offset_ns:
            self.message, self.offset_ns = message, offset_ns


class DepthSynchronizer:
    """The last messages, and the images that are being answered; any thread may call.

    An answer may take longer than the ring lasts. So an image is followed from its arrival on, and its match gets
    better with each message. What nobody answers is not followed: a match ends with the image that holds it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[Any] = deque(maxlen=KEPT)
        self._followed: weakref.WeakSet[Match] = weakref.WeakSet()
        self._heard_s = float('-inf')

    def add(self, message: Any) -> None:
        """Take a depth message; costs a comparison for each image that is being answered."""
        with self._changed:
            self._messages.append(message)
            self._heard_s = time.monotonic()
            for match in self._followed:
                match.offer(message)
            self._changed.notify_all()

    def follow(self, stamp_ns: int) -> Match:
        """Begin to look for the depth of an image."""
        match = Match(stamp_ns)
        with self._changed:
            for message in self._messages:
                match.offer(message)
            self._followed.add(match)
        return match

    def settle(self, match: Match) -> Any:
        """The message of a match when no better one can come, or does not within `WAIT_S`; None if there was none."""
        with self._changed:
            is_flowing = time.monotonic() - self._heard_s < SILENT_S
            self._changed.wait_for(lambda: self._has_passed(match), WAIT_S if is_flowing else 0.0)
            self._followed.discard(match)
            return match.message

    def _has_passed(self, match: Match) -> bool:
        newest = self._messages[-1] if self._messages else None
        return newest is not None and read_stamp_ns(newest.header.stamp) >= match.stamp_ns
