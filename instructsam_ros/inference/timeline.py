"""`Timeline`: notices that time jumps back, as at the start of each lap of a looped bag. Imports no ROS.

The clock of the node and the stamps of each camera jump one after the other, in any order, or only the stamps do. So
each of them is compared with what was seen before of the same.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

JUMP_BACK_S = 0.5
"""Smaller steps back are messages out of order, or corrections of a clock."""
SETTLE_S = 2.0
"""Jumps within this time are the same one."""
MAX_JUMPS = 8
JUMP_WINDOW_S = 10.0
"""More than `MAX_JUMPS` jumps of a camera in this time are no laps: two publishers with different clocks."""


@dataclass
class CameraTime:
    """The stamps of one camera.

    Attributes:
        newest_s: the last stamp; None before the first and after a jump of the clock.
        lap: number of jumps so far.
        jumps_s: times of the last jumps, on the clock of `time.monotonic`.
    """

    newest_s: float | None = None
    lap: int = 0
    jumps_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_JUMPS))


class Timeline:
    """Counts the laps of each camera. All methods may be called from any thread.

    Args:
        restart: called at each jump, with the new time in nanoseconds; None if another clock is used from now on. What
            lies in its future is out of date.
        log: called with one line for each jump.
    """

    def __init__(self, restart: Callable[[int | None], None], log: Callable[[str], object]) -> None:
        self._restart = restart
        self._log = log
        self._lock = threading.RLock()
        self._cameras: dict[str, CameraTime] = {}
        self._jumped_s = float('-inf')
        self._is_mixed = False

    def add_image(self, camera: str, stamp_ns: int) -> int:
        """Add an image that has arrived; return the lap that it belongs to."""
        stamp_s, now_s = stamp_ns / 1e9, time.monotonic()
        with self._lock:
            times = self._cameras.setdefault(camera, CameraTime())
            back_s = times.newest_s - stamp_s if times.newest_s is not None else 0.0
            times.newest_s = stamp_s
            if back_s <= JUMP_BACK_S:
                return times.lap
            is_lap = len(times.jumps_s) < MAX_JUMPS or now_s - times.jumps_s[0] > JUMP_WINDOW_S
            times.jumps_s.append(now_s)
            if is_lap:
                times.lap += 1
                self._announce(f'the stamps of {camera or "the camera"} have jumped back by {back_s:.1f} s')
                self._restart(stamp_ns)
            else:
                self._say_mixed(camera or 'the camera', back_s)
            return times.lap

    def jump(self, now_ns: int | None, reason: str) -> None:
        """Note that the clock of the node has jumped back to a time, or is another one (None)."""
        with self._lock:
            for times in self._cameras.values():
                # The stamps of the camera may have jumped before.
                if now_ns is None or (times.newest_s is not None and times.newest_s > now_ns / 1e9 + JUMP_BACK_S):
                    times.lap += 1
                    times.newest_s = None
            self._announce(reason, is_new=now_ns is None)
            self._restart(now_ns)

    def age_s(self, now_ns: int, stamp_ns: int) -> float:
        """Return the age of an image; 0 right after a jump, when the clock of the node may not have jumped yet."""
        age_s = (now_ns - stamp_ns) / 1e9
        is_settling = time.monotonic() - self._jumped_s < SETTLE_S
        return 0.0 if is_settling and abs(age_s) > JUMP_BACK_S else age_s

    def _say_mixed(self, camera: str, back_s: float) -> None:
        if not self._is_mixed:
            self._is_mixed = True
            self._log(
                f'the stamps of {camera} jump back again and again, now by {back_s:.1f} s, which is ignored from now '
                'on; check whether two nodes publish its images'
            )

    def _announce(self, reason: str, *, is_new: bool = False) -> None:
        """Log a jump, once for all that notice it, unless it is certainly a new one."""
        now_s = time.monotonic()
        is_settled, self._jumped_s = now_s - self._jumped_s > SETTLE_S, now_s
        if is_new or is_settled:
            self._log(f'{reason}: transforms, depth and object ids start over')
