"""The thread that owns the model: what it answers and what it survives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from instructsam_model import Instruction
from instructsam_ros.inference.error_codes import ErrorCode
from instructsam_ros.inference.requests import CapturedImage, ContinuousQuery
from tests.support.worker_bench import BLUE, RED, TIMEOUT_S, Bench, broken_image, captured, wait_for


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_failure_of_the_model_is_a_result(bench: Bench):
    bench.permit(5)
    bench.set_instructions(Instruction('fail'))
    bench.add_images(1)
    wait_for(lambda: bench.published)
    result = bench.published[0]
    assert (result.segmentation, result.message) == (None, 'RuntimeError: the model broke')
    assert result.frame is not None
    assert isinstance(result.error, RuntimeError)
    bench.set_instructions(RED)
    bench.add_images(2)
    wait_for(lambda: bench.stamps == [2])


def test_broken_image_is_dropped(bench: Bench):
    bench.permit(5)
    bench.set_instructions(RED, BLUE)
    bench.scheduler.add_image(CapturedImage(broken_image()))
    wait_for(lambda: bench.statistics.dropped == 1)
    bench.add_images(2)
    wait_for(lambda: bench.stamps == [2, 2])
    assert bench.statistics.dropped == 1, 'the second instruction is not tried with a broken image'
    assert len(bench.published) == 2, 'results without a frame are not published'


@pytest.mark.parametrize(
    ('message', 'said', 'code'),
    [
        (broken_image(), 'has no pixels', ErrorCode.BAD_IMAGE),
        ('no message', "AttributeError: 'str' object has no attribute", ErrorCode.MODEL_ERROR),
    ],
    ids=['broken', 'another type'],
)
def test_request_with_a_broken_image_fails(bench: Bench, message: object, said: str, code: ErrorCode):
    result = bench.scheduler.submit(RED, 10, capture=CapturedImage(message)).future.result(TIMEOUT_S)
    assert said in result.message
    assert (result.frame, result.error_code) == (None, code)


def test_requests_for_one_image_share_its_frame(bench: Bench):
    bench.permit(5)
    requests = [bench.scheduler.submit(each, 10) for each in (RED, BLUE)]
    bench.add_images(1)
    for request in requests:
        request.future.result(TIMEOUT_S)
    assert bench.gate.frames[0] is bench.gate.frames[1]


def test_canceled_goal_stops_the_model(bench: Bench):
    query = ContinuousQuery(RED)
    bench.scheduler.set_queries([query])
    bench.add_images(1)
    bench.wait_until_busy()
    query.canceled.set()
    wait_for(lambda: bench.supervisor.worker.request is None)
    assert (bench.published, bench.pipeline.failures.in_a_row) == ([], 0)


def test_timed_out_request_stops_the_model(bench: Bench):
    result = bench.scheduler.submit(RED, 0.05, capture=captured()).future.result(TIMEOUT_S)
    assert result.error_code == ErrorCode.TIMEOUT
    wait_for(lambda: bench.supervisor.worker.request is None)
    assert bench.pipeline.failures.in_a_row == 0


def test_segmenter_is_closed_in_its_own_thread(bench: Bench):
    bench.supervisor.stop('the node was shut down')
    assert bench.gate.closed == 1
    assert bench.gate.closed_in is not threading.current_thread()
