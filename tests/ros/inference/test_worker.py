"""The thread that owns the model: what it answers and what it survives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from instructsam_model import Instruction
from instructsam_ros.inference.requests import CapturedImage
from instructsam_ros.inference.worker import is_out_of_memory
from tests.support.worker_bench import BLUE, RED, TIMEOUT_S, Bench, OutOfMemoryError, wait_for


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_failure_of_the_model_is_an_answer(bench: Bench):
    bench.answer(5)
    bench.stand(Instruction('fail'))
    bench.offer(1)
    wait_for(lambda: bench.delivered)
    answer = bench.delivered[0]
    assert (answer.segmentation, answer.error) == (None, 'RuntimeError: the model broke')
    assert answer.frame is not None
    assert isinstance(answer.cause, RuntimeError)
    bench.stand(RED)
    bench.offer(2)
    wait_for(lambda: bench.stamps == [2])


def test_a_broken_picture_is_an_answer_without_frame(bench: Bench):
    bench.answer(5)
    bench.stand(RED, BLUE)
    bench.offer('broken')
    wait_for(lambda: bench.delivered)
    assert (bench.delivered[0].frame, bench.delivered[0].error) == (None, 'this one is broken')
    for message, error in (('broken', 'this one is broken'), ('odd', "KeyError: 'odd'")):
        assert bench.scheduler.ask(RED, 10, capture=CapturedImage(message)).answer.result(TIMEOUT_S).error == error
    bench.offer(2)
    wait_for(lambda: bench.stamps == [2, 2])
    assert len(bench.delivered) == 3, 'nothing more is asked about a picture that is broken'


def test_requests_about_one_picture_share_its_frame(bench: Bench):
    bench.answer(5)
    jobs = [bench.scheduler.ask(each, 10) for each in (RED, BLUE)]
    bench.offer(1)
    for job in jobs:
        job.answer.result(TIMEOUT_S)
    assert bench.gate.frames[0] is bench.gate.frames[1]


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
def test_knows_when_memory_ran_out(error: Exception, expected: bool):
    assert is_out_of_memory(error) == expected
