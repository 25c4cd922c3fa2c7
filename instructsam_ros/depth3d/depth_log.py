"""`DepthLog`: counts results without depth, and logs why."""

from __future__ import annotations

import time

from rclpy.node import Node

from instructsam_ros.depth3d.depth_input import NOT_ARRIVED
from instructsam_ros.depth3d.missing_depth import NoDepthError
from instructsam_ros.msg import ErrorCode

LOG_PERIOD_S = 5.0
DISCOVERY_TIMEOUT_S = 2.0
"""Missing messages are not reported before this time, because discovery takes a while."""


class DepthLog:
    """Logs each kind of fault once per camera, until `restart`.

    Args:
        node: logs.

    Attributes:
        missed: number of results without depth.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._warned: set[tuple[str, str]] = set()
        self._since_s = 0.0
        self.missed = 0

    def restart(self) -> None:
        """Log each kind of fault again, because the node was activated."""
        self._warned.clear()
        self._since_s = time.monotonic()

    def add(self, error: NoDepthError, camera: str, *, has_points: bool) -> None:
        """Count a result that lacks points, or only boxes."""
        if error.code == ErrorCode.DEPTH_DISABLED:
            return
        logger = self._node.get_logger()
        if has_points and error.code in (ErrorCode.NO_TRANSFORM, ErrorCode.NO_PLANE):
            logger.warning(f'no 3D boxes: {error}', throttle_duration_sec=LOG_PERIOD_S)
            return
        self.missed += 1
        is_early = error.kind in NOT_ARRIVED and time.monotonic() - self._since_s < DISCOVERY_TIMEOUT_S
        if (camera, error.kind) not in self._warned and not is_early:
            self._warned.add((camera, error.kind))
            suffix = f' of {camera}' if camera else ''
            logger.warning(f'no 3D{suffix}: {error}')
