"""`ImageSizes`: the sizes of images that the model is warmed up for. Imports no ROS."""

from __future__ import annotations

import threading
from collections.abc import Sequence

SizeWh = tuple[int, int]
MAX_PIXELS = 64_000_000
"""Larger images are broken messages."""
MAX_SIZES = 16
"""Limit for streams that are cropped differently in every image."""


class ImageSizes:
    """The sizes that the model is warmed up for, each once. All methods may be called from any thread.

    Args:
        hints: sizes to warm up for before there is an image.
        enabled: False for no warm-up at all.

    Attributes:
        warming_up: the size that the model is being warmed up for; None at other times.
    """

    def __init__(self, hints: Sequence[SizeWh] = (), *, enabled: bool = True) -> None:
        self.hints = tuple(hints) if enabled else ()
        self.warming_up: SizeWh | None = None
        self._enabled = enabled
        self._lock = threading.Lock()
        self._known = dict.fromkeys(self.hints)
        self._due = list(self._known)

    @property
    def is_due(self) -> bool:
        """Whether the model has to be warmed up for another size."""
        return bool(self._due)

    def add(self, size_wh: SizeWh) -> bool:
        """Add a size in which images arrive; return whether it is new and needs a warm-up."""
        if not self._enabled or size_wh in self._known:
            return False
        width, height = size_wh
        with self._lock:
            is_new = size_wh not in self._known and len(self._known) < MAX_SIZES
            if not is_new or min(size_wh) < 1 or width * height > MAX_PIXELS:
                return False
            self._known[size_wh] = None
            self._due.append(size_wh)
        return True

    def start_next(self) -> SizeWh | None:
        """Return the next size to warm up for, until `finish` is called; None if there is none."""
        with self._lock:
            self.warming_up = self._due.pop(0) if self._due else None
            return self.warming_up

    def finish(self) -> None:
        """End the warm-up that `start_next` began, successful or not."""
        self.warming_up = None

    def reset(self) -> None:
        """Make all sizes due again, for a model that was reloaded."""
        with self._lock:
            self._due = list(self._known)


def describe_warm_up(size_wh: SizeWh) -> str:
    """Return the status text during a warm-up."""
    return f'warming up at {size_wh[0]}x{size_wh[1]}'
