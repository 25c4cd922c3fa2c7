"""Ending a run early without losing work."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass


class InterruptedRunError(Exception):
    """The run was asked to stop and has saved its state."""


@dataclass
class PreemptionHandler:
    """Raised by SIGTERM; looked at after each step, so that the step is finished and saved."""

    raised: bool = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Catch SIGTERM for a while."""

        def catch(*_: object) -> None:
            self.raised = True

        former = signal.signal(signal.SIGTERM, catch)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, former)
