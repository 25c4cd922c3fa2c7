"""`Heartbeat`: the checks of the node that do not wait for an image, and its report on /diagnostics, once a second."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray

from instructsam_ros.distribution import make_steady_clock
from instructsam_ros.inference.statistics import WINDOW_S
from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.node.diagnostics import make_diagnostics

if TYPE_CHECKING:
    from instructsam_ros.node.segmenter_node import SegmenterNode

PERIOD_S = 1.0
MIN_IMAGES = 20
"""With fewer images, the share of those that were processed says nothing."""


class Heartbeat:
    """Logs new problems once, deactivates the node after too many failures of the model, and reports its health.

    Args:
        node: owns this object; its public state is read.

    Attributes:
        deactivated: why the node deactivated itself; empty if it did not.
        waiting_since_s: since when each camera could have answers, on the clock of `time.monotonic`.
    """

    def __init__(self, node: SegmenterNode) -> None:
        self._node = node
        self._had_warning = False
        self._error, self._error_s = '', 0.0
        # Images that were received and replaced until each heartbeat of the window.
        self._images: deque[tuple[int, int]] = deque(maxlen=int(WINDOW_S / PERIOD_S) + 1)
        self.deactivated = ''
        self.waiting_since_s: dict[str, float] = {}
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 1)
        # A steady clock, because simulated time may not advance.
        self._timer = node.create_timer(PERIOD_S, self._beat, clock=make_steady_clock())

    @property
    def recent_error(self) -> str:
        """The last error of the model's thread, for a few seconds, so that the level recovers by itself."""
        return self._error if time.monotonic() - self._error_s < WINDOW_S else ''

    def restart(self) -> None:
        """Forget everything, because the node was activated."""
        self.deactivated = self._error = ''
        self.waiting_since_s = dict.fromkeys(self._node.parameters.camera_names, time.monotonic())
        self._images.clear()

    def processed_share(self) -> float:
        """Return the share of the images of the last seconds that were processed, of those that `max_rate` allows."""
        if not self._images or not self._node.scheduler.queries:
            return 1.0
        (first_received, first_replaced), (received, replaced) = self._images[0], self._images[-1]
        count = received - first_received
        values, duration_s = self._node.parameters, (len(self._images) - 1) * PERIOD_S
        allowed = values.stream.max_rate_hz * len(values.camera_names) * duration_s or float('inf')
        return (count - (replaced - first_replaced)) / min(count, allowed) if count >= MIN_IMAGES else 1.0

    def _beat(self) -> None:
        # 1. Log new problems once, and withdraw results that are out of date.
        self._check_images()
        if self._node.supervisor is not None:
            self._check_model(self._node.supervisor)
        # 2. Report the present state on /diagnostics.
        self._publisher.publish(make_diagnostics(self._node, self))

    def _check_images(self) -> None:
        node, timeout_s = self._node, self._node.parameters.image_timeout
        too_old, was_too_old = node.scheduler.warning, self._had_warning
        for images in node.images:
            images.warn_once(timeout_s)
            missing = images.warning(timeout_s)
            if warning := missing or too_old:
                # A planner must not use objects that the camera does not see any more.
                node.pipeline.withdraw_camera(images.camera, warning)
            if missing or not any(query.covers(images.camera) for query in node.scheduler.queries):
                self.waiting_since_s[images.camera] = time.monotonic()
        node.pipeline.withdraw_broken(timeout_s)
        self._had_warning = bool(too_old)
        if too_old and not was_too_old:
            node.get_logger().warning(too_old)
        self._images.append((node.statistics.received, node.scheduler.images_replaced))

    def _check_model(self, supervisor: Supervisor) -> None:
        statistics, logger = self._node.statistics, self._node.get_logger()
        if error := supervisor.check():
            self._error, self._error_s = error, time.monotonic()
            statistics.add_error(error)
            logger.error(error)
        # Only while active: deactivating twice is an invalid transition.
        if self._node.images and supervisor.is_exhausted:
            failures, last = supervisor.failures, statistics.last_error
            self.deactivated = f'deactivated after {failures} failures of the model in a row, the last: {last}'
            logger.error(f'{self.deactivated}; activate the node to try again')
            self._node.trigger_deactivate()
