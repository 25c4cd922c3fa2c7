"""`DepthSynchronizer`: finds the depth image that belongs to a color image, by their stamps."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from itertools import pairwise
from typing import Any

from instructsam_ros.depth3d.depth_stream import PASSED_NS, DepthStream
from instructsam_ros.messages.stamp import JUMP_BACK_NS, read_stamp_ns

BUFFER_SIZE = 5
"""Messages. Enough for depth that arrives before its image; later messages go straight to its `PendingMatch`."""


class PendingMatch:
    """The depth message nearest to one image so far; keeps that message alive as long as it lives itself.

    Args:
        stamp_ns: of the image.
        stream: of the camera; None for a match whose message is given.
        message: not decoded; None if none has arrived.

    Attributes:
        stamp_ns: of the image.
        arrived_s: time of arrival of the image, on the clock of `time.monotonic`.
        message: the nearest message.
        offset_ns: stamp of the message minus that of the image.
        is_complete: whether no nearer message will come.
        stream: how the depth of the camera has fitted so far.
    """

    def __init__(self, stamp_ns: int, stream: DepthStream, message: Any = None) -> None:
        self.stamp_ns = stamp_ns
        self.arrived_s = time.monotonic()
        self.message = message
        self.offset_ns = 0
        self.is_complete = message is not None
        self.stream = stream

    def update(self, message: Any) -> bool:
        """Take a message if it is nearer, or as near and newer; return whether it was taken."""
        offset_ns = read_stamp_ns(message.header.stamp) - self.stamp_ns
        if self.message is not None and abs(offset_ns) > abs(self.offset_ns):
            return False
        self.message, self.offset_ns = message, offset_ns
        return True

    def is_hit(self, max_offset_s: float) -> bool:
        """Return whether the nearest message is near enough."""
        return self.message is not None and abs(self.offset_ns) <= max_offset_s * 1e9

    def is_settled(self, max_delay_s: float) -> bool:
        """Return whether waiting longer is useless: no nearer message will come, or it would come too late."""
        return self.is_complete or not self.stream.is_alive or time.monotonic() - self.arrived_s >= max_delay_s


class DepthSynchronizer:
    """The last depth messages, and the matches of images that wait for their result. All methods are thread-safe.

    A result may take longer than messages stay in the buffer. So an image is registered when it arrives, and its match
    is updated with each message. A match ends when the image that holds it is released.

    Stamps may start over, as in a bag that is played in a loop. Messages that lie in the future of the newest one are
    of the previous lap, and are forgotten.

    Attributes:
        max_offset_s: maximum difference between the stamps of an image and its depth; may be replaced at any time.
        stream: how the depth has fitted so far.
    """

    def __init__(self, max_offset_s: float = 0.02) -> None:
        self._lock = threading.Lock()
        self._messages: deque[Any] = deque(maxlen=BUFFER_SIZE)
        self._pending: weakref.WeakSet[PendingMatch] = weakref.WeakSet()
        self.max_offset_s = max_offset_s
        self.stream = DepthStream()

    @property
    def pending(self) -> int:
        """Number of images that are registered and not released."""
        return len(self._pending)

    @property
    def newest(self) -> Any:
        """The last message; None if there is none."""
        messages = tuple(self._messages)
        return messages[-1] if messages else None

    def add(self, message: Any) -> None:
        """Add a depth message; costs one comparison for each pending match."""
        now_s, stamp_ns = time.monotonic(), read_stamp_ns(message.header.stamp)
        with self._lock:
            self._forget_after(stamp_ns)
            self._messages.append(message)
            self.stream.add_depth(stamp_ns, self.max_offset_s)
            next_ns = stamp_ns + self._period_ns()
            # Messages leave the buffer before slow results are done, so that matches keep their own reference.
            for match in tuple(self._pending):
                if match.update(message) and match.is_hit(self.max_offset_s):
                    self.stream.add_lateness(now_s - match.arrived_s)
                if not match.is_complete:
                    self._complete(match, stamp_ns, next_ns)

    def register(self, stamp_ns: int) -> PendingMatch:
        """Start to look for the depth of an image that has just arrived."""
        match = PendingMatch(stamp_ns, self.stream)
        with self._lock:
            for message in self._messages:
                match.update(message)
            self.stream.add_image(stamp_ns, self._stamps_ns(), self.max_offset_s)
            if match.is_hit(self.max_offset_s):
                self.stream.add_lateness(0.0)
            if self._messages:
                newest_ns = read_stamp_ns(self._messages[-1].header.stamp)
                self._complete(match, newest_ns, newest_ns + self._period_ns())
            self._pending.add(match)
        return match

    def restart(self, now_ns: int | None) -> None:
        """Forget messages that lie in the future, after a jump of the clock to `now_ns`; all messages if it is None."""
        with self._lock:
            if now_ns is None:
                self._messages.clear()
            else:
                self._forget_after(now_ns)
            # Depth of the previous lap will not come.
            for match in tuple(self._pending):
                if now_ns is None or match.stamp_ns > now_ns + JUMP_BACK_NS:
                    match.is_complete = True

    def _forget_after(self, stamp_ns: int) -> None:
        for message in tuple(self._messages):
            if read_stamp_ns(message.header.stamp) > stamp_ns + JUMP_BACK_NS:
                self._messages.remove(message)

    def _complete(self, match: PendingMatch, newest_ns: int, next_ns: int) -> None:
        """Mark a match as complete if messages from the next one on can only be farther away."""
        is_passed = 0 <= newest_ns - match.stamp_ns < PASSED_NS
        # The next message is expected to be farther away than the nearest.
        is_nearest = match.is_hit(self.max_offset_s) and abs(match.offset_ns) <= next_ns - match.stamp_ns
        if is_passed or is_nearest:
            match.is_complete = True

    def _period_ns(self) -> int:
        """Return the shortest time between the stamps of two messages in a row; 0 if it is unknown."""
        return min((after - before for before, after in pairwise(self._stamps_ns()) if after > before), default=0)

    def _stamps_ns(self) -> list[int]:
        return [read_stamp_ns(message.header.stamp) for message in self._messages]
