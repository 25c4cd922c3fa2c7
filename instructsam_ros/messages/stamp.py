"""Stamps of messages as nanoseconds and back."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def read_stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch of the clock that made the stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def make_stamp(nanoseconds: int) -> Time:
    """The stamp of so many nanoseconds since the epoch."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)
