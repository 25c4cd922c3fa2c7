"""Requests are finished once, and canceled requests are recognized."""

from __future__ import annotations

from instructsam_model import CanceledError, Instruction, Selection
from instructsam_ros.inference.error_codes import ErrorCode, RequestTimeoutError
from instructsam_ros.inference.requests import ContinuousQuery, InferenceRequest, InferenceResult, StreamOptions

RED = Instruction('red')


def test_only_the_first_error_counts() -> None:
    request = InferenceRequest(RED)
    assert not request.is_canceled()
    assert request.fail(RequestTimeoutError('too late'))
    assert not request.fail(CanceledError('canceled'))
    assert request.is_canceled()
    result = request.future.result(0)
    assert (result.message, result.error_code, result.segmentation) == ('too late', ErrorCode.TIMEOUT, None)


def test_a_claimed_request_cannot_fail() -> None:
    request = InferenceRequest(RED)
    assert request.claim()
    assert not request.fail(RequestTimeoutError('too late'))
    request.finish(InferenceResult(RED))
    assert request.future.result(0).error_code == ErrorCode.OK


def test_requests_of_a_canceled_query_are_canceled() -> None:
    query = ContinuousQuery(RED, camera='left')
    request = InferenceRequest(RED, query=query)
    assert not request.is_canceled()
    query.canceled.set()
    assert request.is_canceled()
    assert [query.covers(camera) for camera in ('left', 'right')] == [True, False]


def test_stream_options_make_a_selection() -> None:
    assert StreamOptions(0.3, 0.6, 7).selection == Selection(0.3, 0.6, 7)
