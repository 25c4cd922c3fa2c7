"""Handling of SIGTERM, which clusters send before they preempt a job: the run saves its state and stops."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass


class InterruptedRunError(Exception):
    """The run was stopped by SIGTERM and has saved its state."""


@dataclass
class PreemptionHandler:
    """Records that SIGTERM arrived; the loop checks it after each step, finishes the step and saves the state."""

    triggered: bool = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGTERM within the context; in a thread other than the main one, Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def catch(*_: object) -> None:
            # A handler runs between any two instructions, so it only sets a flag.
            self.triggered = True

        previous = signal.signal(signal.SIGTERM, catch)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)
