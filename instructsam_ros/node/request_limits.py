"""`RequestLimits`, how much may wait for the model at once, and `WaitingRequests`, what does."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from rclpy.qos import QoSProfile

from instructsam_model import RequestError
from instructsam_ros.inference.error_codes import BusyError
from instructsam_ros.options import ParameterGroup, parameter

REQUEST_DEPTH = 1000
"""Messages that wait between the middleware and a node, in each direction.

The default of services is 10, on both sides: with 300 simultaneous calls the reader of the service drops 290 requests
before the executor takes them, and no reply tells the clients. The responses of a service go to the readers of all its
clients, each of which drops those of others only when it takes them, so a client needs as many.
"""
REQUEST_QOS = QoSProfile(depth=REQUEST_DEPTH)
"""Reliable, volatile, keep last; of services that many clients call at once, and of their clients."""
FEEDBACK_QOS = QoSProfile(depth=200)
"""All goals get their feedback at once, after each image. Not deeper, because feedback holds masks."""


@dataclass(frozen=True)
class RequestLimits(ParameterGroup):
    """Limits beyond which requests and goals are refused at once, with error code BUSY."""

    max_pending_requests: int = parameter(
        500, 'Maximum number of requests to ~/segment that wait for their reply. Further ones get a reply with error '
        'code BUSY at once.', range_=(1, REQUEST_DEPTH),
    )  # fmt: skip
    max_pending_megabytes: int = parameter(
        512, 'Maximum size of the images of all requests to ~/segment that wait for their reply, in megabytes. Further '
        'requests get a reply with error code BUSY at once.', range_=(1, 65536),
    )  # fmt: skip
    max_goals: int = parameter(
        100, 'Maximum number of goals of ~/track at a time; each is processed for every image. Further ones are '
        'aborted with error code BUSY at once.', range_=(1, REQUEST_DEPTH),
    )  # fmt: skip


class WaitingRequests:
    """Number and size of the requests that have no reply yet. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._bytes = 0

    @property
    def count(self) -> int:
        """Number of requests."""
        return self._count

    def add(self, size_bytes: int, limits: RequestLimits) -> None:
        """Add a request.

        Args:
            size_bytes: of its images.
            limits: beyond which it is refused.

        Raises:
            BusyError: too many or too large requests are waiting.
            RequestError: the images are too large, whatever is waiting.
        """
        limit_bytes = limits.max_pending_megabytes * 1_000_000
        if size_bytes > limit_bytes:
            raise RequestError(
                f'images: expected at most {limits.max_pending_megabytes} MB (max_pending_megabytes), got '
                f'{size_bytes / 1e6:.1f} MB; send a smaller or a compressed image'
            )
        with self._lock:
            if self._count >= limits.max_pending_requests:
                raise BusyError(
                    f'busy: {self._count} requests are waiting, the maximum (max_pending_requests); try again later'
                )
            if self._bytes + size_bytes > limit_bytes:
                raise BusyError(
                    f'busy: {self._count} requests with {self._bytes / 1e6:.1f} MB of images are waiting, and this one '
                    f'has {size_bytes / 1e6:.1f} MB; the maximum is {limits.max_pending_megabytes} MB '
                    '(max_pending_megabytes); try again later, or send compressed images'
                )
            self._count += 1
            self._bytes += size_bytes

    def remove(self, size_bytes: int) -> None:
        """Remove a request, which has its reply."""
        with self._lock:
            self._count -= 1
            self._bytes -= size_bytes


def check_goals(count: int, limits: RequestLimits) -> None:
    """Check whether another goal may start.

    Args:
        count: number of goals that are processed.
        limits: beyond which it is refused.

    Raises:
        BusyError: too many goals are processed.
    """
    if count >= limits.max_goals:
        raise BusyError(f'busy: {count} goals are processed, the maximum (max_goals); cancel one or try again later')
