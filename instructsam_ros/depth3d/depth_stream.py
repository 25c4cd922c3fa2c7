"""`DepthStream`: how the depth images of a camera have fitted its color images so far: how many, how late, how far off.

Imports no ROS.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import numpy as np

WINDOW = 60
"""Number of images that the shares and medians are about: two seconds at 30 Hz."""
STREAM_TIMEOUT_S = 2.0
"""If no depth has arrived for this long, or since the subscription, none is waited for."""
CERTAIN_SHARE = 0.95
"""Share of images with depth above which the next image is expected to have depth too."""
PASSED_NS = 1_000_000_000
"""Depth up to this time after an image shows that the stream has passed it; later depth is of another lap of a bag."""
MIN_IMAGES = 10
"""Fewer images do not show a constant offset."""
MAX_SPREAD_NS = 5_000_000
"""Offsets of a camera whose depth is stamped at another time differ by the jitter of its stamps only."""


class DepthStream:
    """Statistics of the last `WINDOW` images whose nearest depth is known. One thread adds, any may read.

    Attributes:
        last_arrival_s: time of the last depth image, on the clock of `time.monotonic`; -inf before the first.
    """

    def __init__(self) -> None:
        # Images whose nearest depth may still come: stamp, and offset of the nearest so far.
        self._open: deque[tuple[int, int | None]] = deque(maxlen=WINDOW)
        # One value per image, newest last: whether its nearest depth is near enough, and the offset of that depth.
        self._hits: deque[bool] = deque(maxlen=WINDOW)
        self._offsets_ns: deque[int] = deque(maxlen=WINDOW)
        self._lateness_s: deque[float] = deque(maxlen=WINDOW)
        self._started_s = time.monotonic()
        self.last_arrival_s = float('-inf')

    @property
    def is_alive(self) -> bool:
        """Whether depth has arrived lately, or may still arrive for the first time."""
        return time.monotonic() - max(self.last_arrival_s, self._started_s) < STREAM_TIMEOUT_S

    @property
    def hit_share(self) -> float | None:
        """Share of images that have depth; None before the first."""
        hits = tuple(self._hits)
        return sum(hits) / len(hits) if hits else None

    @property
    def is_selective(self) -> bool:
        """Whether some images have depth and others do not, so that it pays to choose."""
        share = self.hit_share
        return self.is_alive and share is not None and 0 < share < CERTAIN_SHARE

    @property
    def lateness_s(self) -> float | None:
        """Median time from the arrival of an image to that of its depth; None if unknown."""
        lateness_s = tuple(self._lateness_s)
        return float(np.median(lateness_s)) if lateness_s else None

    @property
    def constant_offset_ns(self) -> int | None:
        """Offset of the stamps of depth to those of images if it is the same for all of them; None otherwise."""
        offsets_ns = np.array(self._offsets_ns)
        if len(offsets_ns) < MIN_IMAGES or any(tuple(self._hits)):
            return None
        low_ns, middle_ns, high_ns = np.percentile(offsets_ns, (10, 50, 90))
        return int(middle_ns) if high_ns - low_ns < MAX_SPREAD_NS else None

    def add_image(self, stamp_ns: int, depth_stamps_ns: Sequence[int], max_offset_s: float) -> None:
        """Add an image that has arrived, and the stamps of the depth that has arrived before it, oldest first."""
        # Only stamps are kept: most images are released before their depth is known.
        offsets_ns = [depth_ns - stamp_ns for depth_ns in depth_stamps_ns]
        nearest_ns = min(offsets_ns, key=abs, default=None)
        if offsets_ns and nearest_ns is not None and 0 <= offsets_ns[-1] < PASSED_NS:
            self._close(nearest_ns, max_offset_s)
        else:
            self._open.append((stamp_ns, nearest_ns))

    def add_depth(self, stamp_ns: int, max_offset_s: float) -> None:
        """Add depth that has arrived."""
        self.last_arrival_s = time.monotonic()
        for _ in range(len(self._open)):
            image_ns, nearest_ns = self._open.popleft()
            offset_ns = stamp_ns - image_ns
            if nearest_ns is None or abs(offset_ns) < abs(nearest_ns):
                nearest_ns = offset_ns
            if 0 <= offset_ns < PASSED_NS:
                self._close(nearest_ns, max_offset_s)
            else:
                self._open.append((image_ns, nearest_ns))

    def _close(self, offset_ns: int, max_offset_s: float) -> None:
        self._hits.append(abs(offset_ns) <= max_offset_s * 1e9)
        self._offsets_ns.append(offset_ns)

    def add_lateness(self, lateness_s: float) -> None:
        """Add the time from the arrival of an image to that of its depth."""
        self._lateness_s.append(lateness_s)
