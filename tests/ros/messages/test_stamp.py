"""Stamps of messages."""

from __future__ import annotations

import pytest
from builtin_interfaces.msg import Time

from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns


@pytest.mark.parametrize(
    ('stamp', 'nanoseconds'),
    [
        (Time(), 0),
        (Time(sec=1_700_000_000, nanosec=123_456_789), 1_700_000_000_123_456_789),
        (Time(sec=-1, nanosec=999_999_999), -1),
    ],
    ids=['zero', 'now', 'before the epoch'],
)
def test_stamp_round_trip(stamp: Time, nanoseconds: int):
    assert read_stamp_ns(stamp) == nanoseconds
    assert make_stamp(nanoseconds) == stamp
