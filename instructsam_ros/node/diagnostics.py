"""Statistics of the node and its health, published as a DiagnosticArray once a second."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

WINDOW_S = 10.0
"""Length of the window of rates and latencies."""


class RecentValues:
    """The values of the last `WINDOW_S` seconds. One thread adds, any may read."""

    def __init__(self) -> None:
        self._events: deque[tuple[float, float]] = deque(maxlen=4096)
        self._since_s = time.monotonic()

    def add(self, value: float = 0.0) -> None:
        """Add a value with the current time."""
        self._events.append((time.monotonic(), value))

    def values(self) -> list[float]:
        """Return the values, oldest first."""
        oldest_s = time.monotonic() - WINDOW_S
        return [value for happened_s, value in tuple(self._events) if happened_s >= oldest_s]

    def rate_hz(self) -> float:
        """Return the number of values per second."""
        return len(self.values()) / min(WINDOW_S, max(time.monotonic() - self._since_s, 1e-3))


class Statistics:
    """Counters since the node was started.

    Attributes:
        images: arrivals of images.
        latencies_s: of published results, from the arrival of the image to its publication.
        inferences_s: time that the model took for each result.
        errors: broken images and failures of the model.
        received: number of images that arrived.
        dropped: number of images that could not be decoded.
        failed: number of failures of the model.
        last_error: message of the last one of `errors`.
    """

    def __init__(self) -> None:
        self.images = RecentValues()
        self.latencies_s = RecentValues()
        self.inferences_s = RecentValues()
        self.errors = RecentValues()
        self.received = 0
        self.dropped = 0
        self.failed = 0
        self.last_error = ''

    def add_error(self, error: str) -> None:
        """Count a broken image or a failure of the model."""
        self.errors.add()
        self.last_error = error

    def report(self) -> dict[str, str]:
        """Return all statistics, by their name in the diagnostics."""
        return {
            'input rate (Hz)': f'{self.images.rate_hz():.1f}',
            'output rate (Hz)': f'{self.latencies_s.rate_hz():.1f}',
            'latency p50 (ms)': _percentile_ms(self.latencies_s, 50),
            'latency p95 (ms)': _percentile_ms(self.latencies_s, 95),
            'inference p50 (ms)': _percentile_ms(self.inferences_s, 50),
            'images received': str(self.received),
            'images dropped': str(self.dropped),
            'results failed': str(self.failed),
            'last error': self.last_error,
        }


class Health:
    """Level and summary for /diagnostics.

    Attributes:
        deactivated: why the node deactivated itself; empty if it did not.
    """

    def __init__(self) -> None:
        self.deactivated = ''
        self._had_warning = False

    def new_warning(self, warning: str) -> str:
        """Return a warning if there was none in the previous call; empty otherwise."""
        is_new, self._had_warning = bool(warning) and not self._had_warning, bool(warning)
        return warning if is_new else ''

    def summarize(self, state: str, error: str, warning: str, statistics: Statistics) -> tuple[bytes, str]:
        """Return level and summary: the worst problem, or the state if there is none."""
        recent_error = statistics.last_error if statistics.errors.values() else ''
        if error := self.deactivated or error or recent_error:
            return DiagnosticStatus.ERROR, error
        return (DiagnosticStatus.WARN, warning) if warning else (DiagnosticStatus.OK, state)


def memory_report(model_bytes: int | None) -> dict[str, str]:
    """Return the memory of the process and that of the model, as far as they are known."""
    sizes = {'memory (MB)': resident_bytes(), 'model memory (MB)': model_bytes}
    return {name: f'{size / 1e6:.0f}' for name, size in sizes.items() if size is not None}


def resident_bytes(pid: int | str = 'self') -> int | None:
    """Return the resident memory of a process; None on systems without /proc."""
    try:
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def diagnostic_array(name: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """Return an array of one status, without a stamp."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    status = DiagnosticStatus(name=name, level=level, message=message, values=pairs)
    return DiagnosticArray(status=[status])


def _percentile_ms(recent: RecentValues, percent: float) -> str:
    values = recent.values()
    return f'{1e3 * np.percentile(values, percent):.1f}' if values else ''
