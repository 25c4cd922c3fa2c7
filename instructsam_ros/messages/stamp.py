"""Time stamps of messages as integers of nanoseconds."""

from __future__ import annotations

from builtin_interfaces.msg import Time

JUMP_BACK_NS = 500_000_000
"""A stamp that is this much earlier than the one before starts another lap, such as that of a bag that is played in a
loop. Smaller steps are messages out of order, or corrections of a clock."""


def read_stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch of the clock that the stamp was taken from."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def make_stamp(nanoseconds: int) -> Time:
    """The stamp of a time in nanoseconds since the epoch."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)
