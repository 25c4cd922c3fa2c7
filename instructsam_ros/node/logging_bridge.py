"""What the model's package logs, in the node's log and so on /rosout."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

PACKAGE = 'instructsam_model'


class ForwardingHandler(logging.Handler):
    """Passes records on to a node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; rclpy wants one place in the code for each severity."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def forward_logs(logger: RcutilsLogger) -> None:
    """Send what the model's package logs to `logger`, in the place of any node's before."""
    package = logging.getLogger(PACKAGE)
    package.setLevel(logging.INFO)  # Python's own threshold is that of warnings; the node's decides
    package.handlers = [handler for handler in package.handlers if not isinstance(handler, ForwardingHandler)]
    package.addHandler(ForwardingHandler(logger))
