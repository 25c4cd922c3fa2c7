"""`Heap`: freed memory goes back to the system.

The C library keeps what is freed for later. Between what lives on, tensors of ever other lengths leave gaps that the
next ones do not fit, so that a process that leaks nothing still grows for hours.
"""

from __future__ import annotations

import ctypes
import time

PERIOD_S = 60.0


class Heap:
    """The memory of this process; one thread tidies it."""

    def __init__(self) -> None:
        # glibc has it; where another C library has not, that decides by itself.
        self._trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        self._tidied_s = time.monotonic()

    def tidy(self) -> None:
        """Give back what is free, once in `PERIOD_S`; takes a millisecond or some."""
        if self._trim is not None and time.monotonic() - self._tidied_s >= PERIOD_S:
            self._trim(0)
            self._tidied_s = time.monotonic()
