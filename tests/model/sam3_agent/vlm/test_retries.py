from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from instructsam_model.sam3_agent.vlm.retries import MAX_DELAY_S, Failure, delay_s, retry_after_s


@pytest.mark.parametrize('status', [400, 401, 403, 404, 408, 409, 413, 422, 429])
def test_refused_requests_are_not_repeated(status: int) -> None:
    assert Failure('', status).is_refusal
    assert Failure('', status, {'retry-after': '1'}).is_refusal == (status not in (408, 429))


@pytest.mark.parametrize('status', [0, 200, 500, 502, 503, 504, 529])
def test_failures_of_server_and_connection_are_repeated(status: int) -> None:
    assert not Failure('', status).is_refusal


def test_delays_grow_up_to_a_limit_unless_the_server_asks_for_one() -> None:
    delays = [delay_s(Failure('', 503), attempt) for attempt in range(1, 9)]
    assert 0.3 < delays[0] <= 0.5
    assert delays[2] > delays[0]
    assert max(delays) <= MAX_DELAY_S
    assert delay_s(Failure('', 503, {'retry-after': '30'}), 1) == 30


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after_s({'retry-after': ' 2.5 '}) == 2.5
    assert retry_after_s({'retry-after': formatdate(time.time() + 60, usegmt=True)}) == pytest.approx(60, abs=2)
    assert retry_after_s({'retry-after': formatdate(time.time() - 60, usegmt=True)}) == 0
    assert [retry_after_s({'retry-after': text}) for text in ('', 'soon', 'inf', 'nan')] == [None] * 4
    assert retry_after_s({}) is None
