"""`Sizes`: in which sizes images come, so that the model is ready for each in time. Nothing here knows ROS."""

from __future__ import annotations

import threading
from collections.abc import Sequence

SizeWh = tuple[int, int]
MAX_PIXELS = 64_000_000
"""What is larger is a broken message; cameras of robots have some millions."""
MAX_SIZES = 16
"""A stream that is cropped anew for every image must not keep the model from answering."""


class Sizes:
    """The sizes that a model is made ready for, each once. All methods may be called from any thread.

    Args:
        hints: sizes to be ready for before there is an image.
        enabled: False when the model shall not be made ready for anything.

    Attributes:
        warming: what it is made ready for at present; None at other times.
    """

    def __init__(self, hints: Sequence[SizeWh] = (), *, enabled: bool = True) -> None:
        self.hints = tuple(hints) if enabled else ()
        self.warming: SizeWh | None = None
        self._enabled = enabled
        self._lock = threading.Lock()
        self._known = dict.fromkeys(self.hints)
        self._due = list(self._known)

    @property
    def is_due(self) -> bool:
        """Whether there is a size to make the model ready for."""
        return bool(self._due)

    def expect(self, size_wh: SizeWh) -> bool:
        """Note that images of this size come; whether that is new, and the model has to be made ready for it."""
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

    def take(self) -> SizeWh | None:
        """The next size to make the model ready for, until `finish` is called; None when there is none."""
        with self._lock:
            self.warming = self._due.pop(0) if self._due else None
            return self.warming

    def finish(self) -> None:
        """Note that the model is ready for what was taken, or cannot be made so."""
        self.warming = None

    def start_over(self) -> None:
        """Let everything be due again, for a model that was loaded anew."""
        with self._lock:
            self._due = list(self._known)


def describe(size_wh: SizeWh) -> str:
    """What is said while the model is made ready for a size."""
    return f'warming up at {size_wh[0]}x{size_wh[1]}'
