"""`Heartbeat`: the checks of the node that do not wait for an image, and its report on /diagnostics, once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from instructsam_ros.inference.supervisor import Supervisor
from instructsam_ros.node.diagnostics import Health, make_diagnostics

if TYPE_CHECKING:
    from instructsam_ros.node.segmenter_node import SegmenterNode

PERIOD_S = 1.0


class Heartbeat:
    """Logs new problems once, deactivates the node after too many failures of the model, and reports its health.

    Args:
        node: owns this object; its public state is read.

    Attributes:
        health: level and summary for /diagnostics.
    """

    def __init__(self, node: SegmenterNode) -> None:
        self._node = node
        self.health = Health()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 1)
        # A steady clock, because simulated time may not advance.
        self._timer = node.create_timer(PERIOD_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _beat(self) -> None:
        node = self._node
        timeout_s = node.parameters.image_timeout
        # 1. Log new problems once: missing images, failures of the worker, images that arrive too old.
        image_warnings = {}
        for camera, images in zip(node.parameters.camera_names, node.images, strict=False):
            images.warn_once(timeout_s)
            if warning := images.warning(timeout_s):
                image_warnings[camera] = warning
                # A planner must not use objects that nobody looks at any more.
                node.pipeline.withdraw_camera(camera, warning)
        if node.supervisor is not None:
            self._check_model(node.supervisor)
        if warning := self.health.new_warning(node.scheduler.warning):
            node.get_logger().warning(warning)
        # 2. Report the present state on /diagnostics.
        self._publisher.publish(make_diagnostics(node, self.health, next(iter(image_warnings.values()), '')))

    def _check_model(self, supervisor: Supervisor) -> None:
        if error := supervisor.check():
            self._node.statistics.add_error(error)
            self._node.get_logger().error(error)
        # Only while active: deactivating twice is an invalid transition.
        if self._node.images and supervisor.is_exhausted:
            last = self._node.statistics.last_error
            self.health.deactivated = (
                f'deactivated after {supervisor.failures} failures of the model in a row, the last: {last}'
            )
            self._node.get_logger().error(f'{self.health.deactivated}; activate the node to try again')
            self._node.trigger_deactivate()
