"""`FailureCounter`: failures of the model in a row. Imports no ROS."""

from __future__ import annotations

from instructsam_ros.inference.error_codes import error_message, is_model_failure


class FailureCounter:
    """Counts failures of the model; the worker adds to it, the supervisor reads it.

    Attributes:
        in_a_row: failures since the last success.
        restarts_in_a_row: workers that were started since the last success.
        last: message of the last failure.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self.restarts_in_a_row = 0
        self.last = ''

    def add_success(self) -> None:
        """Count a result."""
        self.in_a_row = self.restarts_in_a_row = 0

    def add(self, error: BaseException | str) -> None:
        """Count an error, unless it is one of the image, the request or its caller."""
        if isinstance(error, str) or is_model_failure(error):
            self.in_a_row += 1
            self.last = error if isinstance(error, str) else error_message(error)

    def reset(self) -> None:
        """Set the number of failures to zero; the delay before the next restart stays."""
        self.in_a_row = 0
        self.last = ''
