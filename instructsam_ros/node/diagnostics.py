"""What the node has been doing, counted and put into a DiagnosticArray once a second."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

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


class Health:
    """What is wrong, as one level and one sentence.

    Attributes:
        given_up: why the node deactivated itself; empty when it did not.
    """

    def __init__(self) -> None:
        self.given_up = ''
        self._complained = False

    def complain_once(self, complaint: str) -> str:
        """The complaint, when there was none the last time."""
        is_new, self._complained = bool(complaint) and not self._complained, bool(complaint)
        return complaint if is_new else ''

    def judge(self, state: str, trouble: str, warning: str, statistics: Statistics) -> tuple[bytes, str]:
        """The worst there is to say; the state when all is well."""
        recent_error = statistics.last_error if statistics.errors.values() else ''
        if error := self.given_up or trouble or recent_error:
            return DiagnosticStatus.ERROR, error
        return (DiagnosticStatus.WARN, warning) if warning else (DiagnosticStatus.OK, state)

    def memory(self, segmenter: object) -> dict[str, str]:
        """Memory of the process, and of the GPU where the segmenter tells it by a method `memory_bytes`."""
        tell = getattr(segmenter, 'memory_bytes', lambda: None)
        sizes = {'memory (MB)': resident_bytes(), 'GPU memory (MB)': tell()}
        return {name: f'{size / 1e6:.0f}' for name, size in sizes.items() if size is not None}


def resident_bytes(pid: int | str = 'self') -> int | None:
    """Memory of a process that is in RAM; None where /proc does not tell."""
    try:
        pages = int(Path(f'/proc/{pid}/statm').read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def diagnostic_array(name: str, level: bytes, message: str, values: Mapping[str, str]) -> DiagnosticArray:
    """One status as it goes to /diagnostics; the stamp is left for whoever publishes it."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    status = DiagnosticStatus(name=name, level=level, message=message, values=pairs)
    return DiagnosticArray(status=[status])


def _percentile_ms(recent: Recent, percent: float) -> str:
    values = recent.values()
    return f'{1e3 * np.percentile(values, percent):.1f}' if values else ''
