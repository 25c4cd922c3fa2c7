"""Forwards Python's logging to the node's logger, and so to /rosout."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

PACKAGES = ('instructsam_model', 'instructsam_ros')


class ForwardingHandler(logging.Handler):
    """Forwards records to a node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; rclpy requires one place in the code for each severity."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def forward_logs(logger: RcutilsLogger) -> None:
    """Forward what the packages log to `logger`, in place of the logger of an earlier node."""
    for name in PACKAGES:
        package = logging.getLogger(name)
        package.setLevel(logging.INFO)  # Python's default is WARNING; the level of the node's logger counts
        package.handlers = [handler for handler in package.handlers if not isinstance(handler, ForwardingHandler)]
        package.addHandler(ForwardingHandler(logger))
