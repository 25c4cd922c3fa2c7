"""Which number and message a client gets for an exception."""

from __future__ import annotations

import pytest

from instructsam_model import CanceledError, ConfigError, FrameError, InferenceError, RequestError
from instructsam_ros.inference.error_codes import (
    ErrorCode,
    NotActiveError,
    RequestTimeoutError,
    error_code,
    error_message,
    is_model_failure,
    is_out_of_memory,
)
from instructsam_ros.msg import ErrorCode as ErrorCodeMessage
from tests.support.worker_bench import OutOfMemoryError


def test_error_codes_are_those_of_the_message() -> None:
    names = [name for name in vars(type(ErrorCodeMessage)) if name.isupper()] or list(ErrorCode.__members__)
    assert {name: getattr(ErrorCodeMessage, name) for name in ErrorCode.__members__} == dict(ErrorCode.__members__)
    assert set(names) >= set(ErrorCode.__members__)


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (None, ErrorCode.OK, ''),
        (RequestError('no instruction'), ErrorCode.INVALID_REQUEST, 'no instruction'),
        (ConfigError('min_score'), ErrorCode.INVALID_REQUEST, 'min_score'),
        (NotActiveError('the node is inactive'), ErrorCode.NOT_ACTIVE, 'the node is inactive'),
        (FrameError('no pixels'), ErrorCode.BAD_IMAGE, 'no pixels'),
        (RequestTimeoutError('no image'), ErrorCode.TIMEOUT, 'no image'),
        (OutOfMemoryError('CUDA out of memory'), ErrorCode.OUT_OF_MEMORY, 'OutOfMemoryError: CUDA out of memory'),
        (MemoryError(), ErrorCode.OUT_OF_MEMORY, 'MemoryError: '),
        (InferenceError('the segmenter is closed'), ErrorCode.MODEL_ERROR, 'the segmenter is closed'),
        (RuntimeError('broke'), ErrorCode.MODEL_ERROR, 'RuntimeError: broke'),
        (SystemExit('enough'), ErrorCode.MODEL_ERROR, 'SystemExit: enough'),
        (CanceledError('canceled'), ErrorCode.CANCELED, 'canceled'),
    ],
    ids=repr,
)
def test_error_code_and_message_of_an_exception(error: BaseException | None, code: ErrorCode, message: str) -> None:
    assert (error_code(error), error_message(error)) == (code, message)


def test_errors_of_images_and_requests_are_not_failures_of_the_model() -> None:
    assert is_model_failure(RuntimeError('broke'))
    assert not any(map(is_model_failure, (FrameError('x'), RequestError('x'), CanceledError('x'))))


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (MemoryError(), True),
        (OutOfMemoryError('CUDA out of memory'), True),
        (RuntimeError('CUDA error: out of memory'), True),
        (RuntimeError('the model broke'), False),
        (ValueError('out of memory'), False),
    ],
    ids=repr,
)
def test_out_of_memory_is_recognized(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
