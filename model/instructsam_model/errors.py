"""Errors of the packages; each message says what was found, what was expected, and what to do.

Commands catch them in `main()`; the ROS node reports them with the numbers of `ErrorCode.msg`.
"""

from __future__ import annotations

from collections.abc import Callable


class CheckpointError(Exception):
    """A checkpoint is missing, unreadable, or does not fit the network."""


class ConfigError(ValueError):
    """A setting is unknown or out of range."""


class FrameError(ValueError):
    """An image cannot be used: its size, encoding or content is not as declared."""


class RequestError(ValueError):
    """A request cannot be processed: no instruction, an instruction that is too long, an inactive node."""


class InferenceError(RuntimeError):
    """The model failed on a valid request."""


class NonFiniteError(InferenceError):
    """A stage of the model gave values that are not finite (NaN or infinity), so that there is no result."""


class UndecidedError(InferenceError):
    """The model came to no decision on a valid request; it may on the next one."""


class CanceledError(InferenceError):
    """The caller canceled the request while the model was working on it."""


def raise_if_canceled(is_canceled: Callable[[], bool]) -> None:
    """Raise CanceledError if `is_canceled` returns True; called between passes of a model."""
    if is_canceled():
        raise CanceledError('the request was canceled')
