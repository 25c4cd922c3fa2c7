"""Errors of requests, and the numbers that clients get for them. Imports no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from instructsam_model.errors import CanceledError, ConfigError, FrameError, InferenceError, RequestError


class ErrorCode(IntEnum):
    """The constants of `ErrorCode.msg`."""

    OK = 0
    INVALID_REQUEST = 1
    NOT_ACTIVE = 2
    BAD_IMAGE = 3
    TIMEOUT = 4
    OUT_OF_MEMORY = 5
    MODEL_ERROR = 6
    CANCELED = 7
    BUSY = 8
    DEPTH_DISABLED = 20
    NO_DEPTH = 21
    NO_CAMERA_INFO = 22
    DEPTH_MISMATCH = 23
    DEPTH_OUT_OF_RANGE = 24
    NO_TRANSFORM = 25
    NO_PLANE = 26


@dataclass(frozen=True)
class MissingOutput:
    """Why a result lacks a promised output, such as its points or its boxes.

    Attributes:
        code: for clients.
        message: what was found, what was expected and what to do.
    """

    code: ErrorCode
    message: str


class NotActiveError(RequestError):
    """The node is not active."""


class BusyError(RequestError):
    """Too many requests are waiting."""


class RequestTimeoutError(InferenceError):
    """No image or no result arrived in time."""


CODES: tuple[tuple[type[BaseException], ErrorCode], ...] = (
    (NotActiveError, ErrorCode.NOT_ACTIVE),
    (BusyError, ErrorCode.BUSY),
    (RequestError, ErrorCode.INVALID_REQUEST),
    (ConfigError, ErrorCode.INVALID_REQUEST),
    (FrameError, ErrorCode.BAD_IMAGE),
    (RequestTimeoutError, ErrorCode.TIMEOUT),
    (CanceledError, ErrorCode.CANCELED),
)
"""The first row that fits an exception counts, so derived classes come before their bases."""


def error_code(error: BaseException | None) -> ErrorCode:
    """Return the number of an exception; OK for None, MODEL_ERROR for everything that is not expected."""
    if error is None:
        return ErrorCode.OK
    if is_out_of_memory(error):
        return ErrorCode.OUT_OF_MEMORY
    return next((code for kind, code in CODES if isinstance(error, kind)), ErrorCode.MODEL_ERROR)


def error_message(error: BaseException | None) -> str:
    """Return what clients are told: the message, with the type of exceptions that are not expected; '' for None."""
    if error is None:
        return ''
    is_expected = isinstance(error, (InferenceError, *(kind for kind, _ in CODES)))
    return str(error) if is_expected else f'{type(error).__name__}: {error}'


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch's exception is recognized by its name, since torch is not imported here."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {'MemoryError', 'OutOfMemoryError'}) or (
        'RuntimeError' in names and 'out of memory' in str(error).lower()
    )


def is_fatal(error: BaseException) -> bool:
    """Return whether an exception, such as SystemExit of a library, ends the thread that raised it."""
    return not isinstance(error, Exception)


def is_model_failure(error: BaseException) -> bool:
    """Return whether an exception is a failure of the model, not of the image, the request or its caller."""
    not_the_model = (FrameError, RequestError, CanceledError)
    return not isinstance(error, not_the_model)
