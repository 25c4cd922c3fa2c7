"""What the node has been doing, counted and put into a DiagnosticArray once a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

RECENT_S = 10.0
"""Rates and latencies are those of so many seconds."""


class Recent:
    """The events of the last `RECENT_S` seconds, with a number each. One thread adds, any may read."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, float]] = deque(maxlen=4096)
        self._since_s = time.monotonic()

    def add(self, value: float = 0.0) -> None:
        """Note that something happened now."""
        self._events.append((time.monotonic(), value))

    def values(self) -> list[float]:
        """The numbers of the recent events, oldest first."""
        oldest_s = time.monotonic() - RECENT_S
        return [value for happened_s, value in tuple(self._events) if happened_s >= oldest_s]

    def rate_hz(self) -> float:
        """Events per second."""
        return len(self.values()) / min(RECENT_S, max(time.monotonic() - self._since_s, 1e-3))


class Statistics:
    """Counters of one active period and before; the node adds to them, `report` reads them.

    Attributes:
        images: every image that arrived.
        latencies_s: of every answer: arrival of the image to publication.
        inferences_s: of every answer: how long the model took.
        errors: every broken image and every failure of the model.
        received: how many images arrived.
        dropped: how many images were broken.
        failed: how many times the model raised.
        last_error: the latest of `errors`.
    """

    def __init__(self) -> None:
        self.images = Recent()
        self.latencies_s = Recent()
        self.inferences_s = Recent()
        self.errors = Recent()
        self.received = 0
        self.dropped = 0
        self.failed = 0
        self.last_error = ''

    def note_error(self, error: str) -> None:
        """Note that an image was broken or the model failed."""
        self.errors.add()
        self.last_error = error

    def report(self) -> dict[str, str]:
        """Everything that is counted here, by the name it has in the diagnostics."""
        return {
            'input rate (Hz)': f'{self.images.rate_hz():.1f}',
            'output rate (Hz)': f'{self.latencies_s.rate_hz():.1f}',
            'latency p50 (ms)': _percentile_ms(self.latencies_s, 50),
            'latency p95 (ms)': _percentile_ms(self.latencies_s, 95),
            'inference p50 (ms)': _percentile_ms(self.inferences_s, 50),
            'images received': str(self.received),
            'images dropped': str(self.dropped),
            'answers failed': str(self.failed),
            'last error': self.last_error,
        }


def diagnostic_array(name: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """One status as it goes to /diagnostics; the stamp is left for whoever publishes it."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    status = DiagnosticStatus(name=name, level=level, message=message, values=pairs)
    return DiagnosticArray(status=[status])


def _percentile_ms(recent: Recent, percent: float) -> str:
    values = recent.values()
    return f'{1e3 * np.percentile(values, percent):.1f}' if values else ''
