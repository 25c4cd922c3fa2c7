"""`HeapTrimmer`: returns freed memory to the system. Imports no ROS.

The C library keeps freed memory for later. Tensors of changing lengths fragment it, so that a process without a leak
still grows for hours.
"""

from __future__ import annotations

import ctypes
import time

TRIM_PERIOD_S = 60.0


class HeapTrimmer:
    """Trims the heap of this process from time to time; to be used by one thread."""

    def __init__(self) -> None:
        # glibc has this function; other C libraries decide by themselves.
        self._trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        self._trimmed_s = time.monotonic()

    def trim_heap(self) -> None:
        """Return free memory to the system, once in `TRIM_PERIOD_S`; takes a few milliseconds."""
        if self._trim is not None and time.monotonic() - self._trimmed_s >= TRIM_PERIOD_S:
            self._trim(0)
            self._trimmed_s = time.monotonic()
