"""`Statistics`: counters and recent latencies. Imports no ROS."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque

import numpy as np

from instructsam_model import CanceledError
from instructsam_ros.inference.error_codes import ErrorCode, MissingOutput
from instructsam_ros.inference.requests import InferenceResult

WINDOW_S = 10.0
"""Length of the window of rates and latencies."""

FAULTS_OF_CLIENTS = (ErrorCode.INVALID_REQUEST, ErrorCode.NOT_ACTIVE, ErrorCode.BAD_IMAGE, ErrorCode.CANCELED)


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

    def restart(self) -> None:
        """Forget all values."""
        self._events.clear()
        self._since_s = time.monotonic()


class OutputRecord:
    """What the answers of the last `WINDOW_S` seconds lacked of one promised output. May be used by any thread.

    Attributes:
        codes: number of answers without the output since the node was started, by reason.
        last_reason: why the last of them lacked it.
        last_s: time of the last answer, on the clock of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[tuple[float, bool]] = deque(maxlen=4096)  # time, whether the output was there
        self.codes: Counter[ErrorCode] = Counter()
        self.last_reason = ''
        self.last_s = float('-inf')

    def add(self, missing: MissingOutput | None = None) -> None:
        """Count an answer, and why it lacks the output if it does."""
        with self._lock:
            self.last_s = time.monotonic()
            self._events.append((self.last_s, missing is None))
            if missing is not None:
                self.codes[missing.code] += 1
                self.last_reason = missing.message

    def counts(self) -> tuple[int, int]:
        """Return the number of recent answers with the output, and of those without."""
        oldest_s = time.monotonic() - WINDOW_S
        with self._lock:
            recent = [is_there for happened_s, is_there in self._events if happened_s >= oldest_s]
        return sum(recent), len(recent) - sum(recent)

    def report(self) -> dict[str, str]:
        """Return the counts by their name in the diagnostics."""
        complete, missing = self.counts()
        with self._lock:
            codes = dict(self.codes)
        return {
            'rate (Hz)': f'{complete / WINDOW_S:.1f}',
            'missing (%)': f'{100 * missing / max(complete + missing, 1):.0f}',
            'missing in total': str(sum(codes.values())),
            **{f'missing in total, {code.name}': str(count) for code, count in codes.items()},
            'last reason': self.last_reason,
        }

    def restart(self) -> None:
        """Forget the recent answers; the totals stay."""
        with self._lock:
            self._events.clear()


class Statistics:
    """Counters since the node was started.

    Attributes:
        masks: record of each camera, by its name: answers of the model, or why there are none.
        points: the same for points, of answers with instances.
        boxes: the same for 3D boxes.
        replies: the same for replies of ~/segment: successful ones, or faults of the node.
        client_faults: number of replies to mistakes of clients, by error code.
        images: arrivals of images.
        latencies_s: of published results, from the arrival of the image to its publication.
        inferences_s: time that the model took for each result.
        errors: broken images and failures of the model.
        received: number of images that arrived.
        dropped: number of images that could not be decoded.
        failed: number of failures of the model.
        truncated: number of answers that may lack objects, because the model or `max_instances` found no more.
        without_box: number of instances without a 3D box, in answers with other boxes.
        last_error: message of the last one of `errors`.
    """

    def __init__(self) -> None:
        self.masks: dict[str, OutputRecord] = defaultdict(OutputRecord)
        self.points: dict[str, OutputRecord] = defaultdict(OutputRecord)
        self.boxes: dict[str, OutputRecord] = defaultdict(OutputRecord)
        self.replies = OutputRecord()
        self.client_faults: Counter[ErrorCode] = Counter()
        self.images = RecentValues()
        self.latencies_s = RecentValues()
        self.inferences_s = RecentValues()
        self.errors = RecentValues()
        self.received = 0
        self.dropped = 0
        self.failed = 0
        self.truncated = 0
        self.without_box = 0
        self.last_error = ''

    def add_result(self, result: InferenceResult) -> None:
        """Count the answer to a continuous query, and what it lacks; may be called from any thread."""
        if result.capture is None or isinstance(result.error, CanceledError):
            return
        camera, segmentation, geometry = result.capture.camera, result.segmentation, result.geometry
        self.masks[camera].add(MissingOutput(result.error_code, result.message) if result.error is not None else None)
        if segmentation is None:
            return
        self.truncated += segmentation.truncated
        # What was not found has no place in 3D: that is no fault.
        if segmentation.instances or result.no_points is not None:
            self.points[camera].add(result.no_points)
            self.boxes[camera].add(result.no_boxes or result.no_points)
        if geometry is not None and any(geometry.boxes):
            self.without_box += sum(box is None for box in geometry.boxes)

    def add_reply(self, code: int, message: str = '') -> None:
        """Count a reply of ~/segment; mistakes of the client are no faults of the node."""
        if code in FAULTS_OF_CLIENTS:
            self.client_faults[ErrorCode(code)] += 1
        else:
            self.replies.add(MissingOutput(ErrorCode(code), message) if code != ErrorCode.OK else None)

    def restart(self) -> None:
        """Forget the recent values, because the node was activated or its time has jumped; the totals stay."""
        for recent in (self.images, self.latencies_s, self.inferences_s, self.errors):
            recent.restart()
        for record in (self.replies, *self.masks.values(), *self.points.values(), *self.boxes.values()):
            record.restart()

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
            'results truncated': str(self.truncated),
            'instances without 3D box': str(self.without_box),
            'last error': self.last_error,
        }


def _percentile_ms(recent: RecentValues, percent: float) -> str:
    values = recent.values()
    return f'{1e3 * np.percentile(values, percent):.1f}' if values else ''
