"""Forwards Python's logging to the node's logger, and so to /rosout."""

from __future__ import annotations

import logging
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

PACKAGES = ('instructsam_model', 'instructsam_ros')
REPEAT_PERIOD_S = 5.0
"""A warning of the same line of code about the same thing is not forwarded again within this time: the back end
sam3_agent warns of a server that is gone for every image."""


class ForwardingHandler(logging.Handler):
    """Forwards records to a node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger
        self._warned_s: dict[tuple[object, ...], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; rclpy requires one place in the code for each severity."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            if not self._is_repeated(record):
                self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())

    def _is_repeated(self, record: logging.LogRecord) -> bool:
        """Return whether a warning was forwarded a short time ago; its first argument says what it is about."""
        subject = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ''
        place, now_s = (record.pathname, record.lineno, subject), time.monotonic()
        if now_s - self._warned_s.get(place, float('-inf')) < REPEAT_PERIOD_S:
            return True
        self._warned_s[place] = now_s
        return False


def forward_logs(logger: RcutilsLogger) -> None:
    """Forward what the packages log to `logger`, in place of the logger of an earlier node."""
    for name in PACKAGES:
        package = logging.getLogger(name)
        package.setLevel(logging.INFO)  # Python's default is WARNING; the level of the node's logger counts
        package.handlers = [handler for handler in package.handlers if not isinstance(handler, ForwardingHandler)]
        package.addHandler(ForwardingHandler(logger))
