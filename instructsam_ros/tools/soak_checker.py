"""`ResultChecker`: counts results and responses of a soak test, and those that are lost or wrong."""

from __future__ import annotations

import time

import numpy as np
from sensor_msgs.msg import CameraInfo

from instructsam_ros.messages.stamp import JUMP_BACK_NS, read_stamp_ns
from instructsam_ros.msg import Segmentation
from instructsam_ros.srv import Segment

INSTRUCTION_DELAY_S = 1.0
"""Time that an instruction may take to reach the node; until then, results for the previous instruction are correct."""
FAULT_MARGIN_S = 2.0
"""Results may lack what a fault takes away until this time after it has ended."""
MIN_ANSWERS = 10
"""Laps with fewer answers, such as the first and the last one, have no share."""


class ResultChecker:
    """Counts results and responses, and those that are lost or wrong. Independent of ROS except for its messages."""

    def __init__(self) -> None:
        # (time of publication, text) of each instruction on the topic, oldest first.
        self._instructions: list[tuple[float, str]] = []
        self._pending: dict[str, tuple[str, float]] = {}
        self._camera_stamps_ns: set[int] = set()
        self._result_stamps_ns: list[int] = []
        self._latencies_s: list[float] = []
        self._memory_mb: list[float] = []
        self._instances = self._boxes = self._withdrawals = 0
        # Of each lap of the recording: answers with instances, and those of them with 3D boxes.
        self._laps: list[tuple[int, int]] = [(0, 0)]
        self._fault_since_s, self._fault_until_s = float('inf'), float('-inf')
        self._errors: list[str] = []
        self._untrue_diagnostics = 0
        self._failed = self._wrong_instructions = self._wrong_responses = self._requests = 0

    @property
    def pending_requests(self) -> int:
        """Number of requests without a response."""
        return len(self._pending)

    @property
    def errors(self) -> list[str]:
        """A line about each lost result, and about each message of /diagnostics that was not true."""
        return list(self._errors)

    def begin_fault(self) -> None:
        """Record that a fault begins: from now on, answers may fail or lack 3D."""
        self._fault_since_s, self._fault_until_s = time.monotonic(), float('inf')

    def end_fault(self) -> None:
        """Record that the fault ends."""
        self._fault_until_s = time.monotonic() + FAULT_MARGIN_S

    def add_diagnostics(self, error: str) -> None:
        """Record something that /diagnostics said and that was not true."""
        self._untrue_diagnostics += 1
        self._errors.append(error)

    def add_instruction(self, text: str) -> None:
        """Record that an instruction is published now."""
        self._instructions.append((time.monotonic(), text))

    def add_request(self, request_id: str, text: str) -> None:
        """Record that a request is sent."""
        self._requests += 1
        self._pending[request_id] = text, time.monotonic()

    def add_response(self, request_id: str, response: Segment.Response) -> None:
        """Check the response to a request."""
        text, sent_s = self._pending.pop(request_id)
        # A failed response counts as lost, as if it had not arrived, unless there was a fault meanwhile.
        if not response.success and not self._is_faulty(sent_s):
            self._failed += 1
            self._errors.append(f'request {request_id}: {response.message}')
        result = response.segmentation
        self._wrong_responses += (result.request_id, result.instruction) != (request_id, text)

    def add_camera_info(self, message: CameraInfo) -> None:
        """Record the stamp of an image."""
        self._camera_stamps_ns.add(read_stamp_ns(message.header.stamp))

    def add_result(self, result: Segmentation) -> None:
        """Check a message on ~/segmentation."""
        if result.status == Segmentation.WITHDRAWN:
            self._withdrawals += 1
            return
        now_s = time.monotonic()
        if result.status == Segmentation.FAILED and not self._is_faulty(now_s - result.latency):
            self._failed += 1
            self._errors.append(f'result: {result.message}')
        stamp_ns = read_stamp_ns(result.header.stamp)
        if self._result_stamps_ns and stamp_ns < self._result_stamps_ns[-1] - JUMP_BACK_NS:
            self._laps.append((0, 0))
        if result.instances and not self._is_faulty(now_s - result.latency):
            found, located = self._laps[-1]
            self._laps[-1] = found + 1, located + (result.instances[0].size.x > 0)
        self._result_stamps_ns.append(stamp_ns)
        self._latencies_s.append(result.latency)
        self._instances += len(result.instances)
        self._boxes += sum(instance.size.x > 0 for instance in result.instances)
        # How many instructions ago that of the result was published; None if it never was.
        ago = next((n for n, (_, text) in enumerate(self._instructions[::-1]) if text == result.instruction), None)
        # It was valid until the next instruction was published, and must have been valid when the image arrived.
        valid_until_s = self._instructions[-ago][0] if ago else now_s
        arrived_s = now_s - result.latency - INSTRUCTION_DELAY_S
        self._wrong_instructions += ago is None or valid_until_s < arrived_s

    def add_memory(self, size_bytes: int) -> None:
        """Record the resident memory of the node."""
        self._memory_mb.append(size_bytes / 1e6)

    def report(self) -> dict[str, float | int | None]:
        """Return the results of the run."""
        # Compare the second quarter with the last one, since the node fills its caches in the first.
        before_mb, after_mb = (
            round(float(np.median(part)), 2) if part.size else None
            for part in np.array_split(np.array(self._memory_mb), 4)[1::2]
        )
        stamps_ns = self._result_stamps_ns
        # Images from before the camera was discovered have no known stamp and are not checked.
        first_ns = min(self._camera_stamps_ns, default=0)
        unknown = sum(first_ns <= stamp_ns not in self._camera_stamps_ns for stamp_ns in stamps_ns)
        # Results are in the order of their images, each image once, but for the start of a lap.
        steps_ns = np.diff(stamps_ns)
        backwards = int(np.count_nonzero((steps_ns <= 0) & (steps_ns >= -JUMP_BACK_NS)))
        return {
            'results': len(stamps_ns),
            'requests': self._requests,
            'instructions': len(self._instructions),
            'lost_results': self.pending_requests + self._failed,
            'wrong_stamps': unknown + backwards,
            'wrong_instructions': self._wrong_instructions + self._wrong_responses,
            'instances': self._instances,
            'boxes_3d': self._boxes,
            'laps': len(self._laps),
            'share_with_boxes': self._share_with_boxes(),
            'withdrawals': self._withdrawals,
            'untrue_diagnostics': self._untrue_diagnostics,
            'latency_p95_ms': round(1e3 * float(np.percentile(self._latencies_s, 95)), 1) if stamps_ns else None,
            'memory_mb': after_mb,
            'memory_growth_mb': round(after_mb - before_mb, 2) if after_mb and before_mb else None,
        }

    def _is_faulty(self, since_s: float) -> bool:
        """Return whether there has been a fault since a time."""
        return self._fault_since_s < time.monotonic() and since_s < self._fault_until_s

    def _share_with_boxes(self) -> float | None:
        """Return the smallest share of answers with 3D boxes of a lap; None without answers."""
        shares = [located / found for found, located in self._laps if found >= MIN_ANSWERS]
        return round(min(shares), 3) if shares else None
