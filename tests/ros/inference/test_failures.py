"""Which errors count as failures of the model."""

from __future__ import annotations

from instructsam_model import CanceledError, FrameError
from instructsam_ros.inference.failures import FailureCounter


def test_failures_in_a_row() -> None:
    counter = FailureCounter()
    counter.add(RuntimeError('broke'))
    counter.add('the model has been busy for too long')
    assert (counter.in_a_row, counter.last) == (2, 'the model has been busy for too long')
    counter.add(FrameError('no pixels'))
    counter.add(CanceledError('canceled'))
    assert counter.in_a_row == 2, 'errors of images and callers do not count'
    counter.restarts_in_a_row = 3
    counter.reset()
    assert (counter.in_a_row, counter.last, counter.restarts_in_a_row) == (0, '', 3)
    counter.add_success()
    assert counter.restarts_in_a_row == 0
