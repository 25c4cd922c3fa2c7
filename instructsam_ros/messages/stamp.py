"""Time stamps of messages as integers of nanoseconds."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def read_stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch of the clock that the stamp was taken from."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def make_stamp(nanoseconds: int) -> Time:
    """The stamp of a time in nanoseconds since the epoch."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)
