"""`NoDepthError`: why an image has no depth, with the cause that the stamps and arrivals so far show."""

from __future__ import annotations

import math
import time

from instructsam_model import FrameError
from instructsam_ros.depth3d.depth_stream import DepthStream
from instructsam_ros.depth3d.depth_sync import PendingMatch
from instructsam_ros.msg import ErrorCode

CLOCKS_DIFFER_NS = 10_000_000_000
"""A difference between the stamps of an image and its depth that no delay explains."""
OFFSET_MARGIN_S = 0.005
"""Added to a measured offset when a value for depth.max_offset is proposed."""
MIN_ROOM_M, MAX_ROOM_M = 0.05, 50.0
"""Range of the median depth of a room; in millimeters it is 1000 times as much."""


class NoDepthError(FrameError):
    """No depth fits the image.

    Attributes:
        kind: identifies the cause, whatever the numbers in the message are.
        code: a constant of ErrorCode.
    """

    def __init__(self, kind: str, message: str, code: int = ErrorCode.DEPTH_MISMATCH) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


def explain_offset(match: PendingMatch, max_offset_s: float, max_delay_s: float) -> NoDepthError:
    """Return why the nearest depth of an image is too far away in time.

    Args:
        match: with a message that is not near enough.
        max_offset_s: maximum offset.
        max_delay_s: time that depth was waited for.
    """
    stream, offset_ns = match.stream, match.offset_ns
    nearest = f'the nearest depth is {abs(offset_ns) / 1e6:.0f} ms away from the image'
    expected = f'{nearest}; expected at most {max_offset_s * 1e3:.0f} ms'
    if not stream.is_alive:
        stopped_s = time.monotonic() - stream.last_arrival_s
        kind, said = 'stopped', f'no depth has arrived for {stopped_s:.0f} s; check the driver of the depth camera'
    elif abs(offset_ns) > CLOCKS_DIFFER_NS:
        kind = 'clocks'
        order = 'newer' if offset_ns > 0 else 'older'
        said = (
            f'the nearest depth is {abs(offset_ns) / 1e9:.1f} s {order} than the image: the '
            'clocks of the two drivers differ; check both, and use_sim_time of all nodes'
        )
    elif (constant_ns := stream.constant_offset_ns) is not None:
        kind = 'constant offset'
        proposed_s = math.ceil((abs(constant_ns) / 1e9 + OFFSET_MARGIN_S) * 1e3) / 1e3
        said = (
            f'{expected}; depth is always stamped {abs(constant_ns) / 1e6:.0f} ms '
            f'{"after" if constant_ns > 0 else "before"} its image: set depth.max_offset to {proposed_s:g} if both '
            'belong together'
        )
    elif not match.is_complete:
        kind, said = 'late', _late(stream, max_delay_s)
    elif stream.hit_share:
        kind = 'sparse'
        said = (
            f'{expected}; {100 * stream.hit_share:.0f} % of the last images have depth, because it comes at a lower '
            'rate: with depth.policy with_depth, the node prefers those'
        )
    else:
        kind = 'offset'
        said = f'{expected}; use a camera that captures both at the same time, or raise depth.max_offset'
    return NoDepthError(kind, said, ErrorCode.NO_DEPTH)


def _late(stream: DepthStream, max_delay_s: float) -> str:
    lateness_s = stream.lateness_s
    measured = (
        f'depth usually comes {1e3 * lateness_s:.0f} ms after its image' if lateness_s else 'earlier depth has arrived'
    )
    return (
        f'the depth of the image did not arrive within depth.max_delay, {max_delay_s:g} s; {measured}: raise '
        'depth.max_delay, or find out what delays the depth image'
    )


def explain_range(median_m: float, encoding: str, range_m: tuple[float, float]) -> NoDepthError:
    """Return why no instance has points, although there is a depth image.

    Args:
        median_m: of the known depth of the whole image; NaN if there is none.
        encoding: of the depth image.
        range_m: nearest and farthest depth that is used.
    """
    low_m, high_m = range_m
    start = f'no instance has depth between depth.min, {low_m:g} m, and depth.max, {high_m:g} m'
    median = f'the median of the depth image is {median_m:.4g} m'
    if math.isnan(median_m):
        said = f'{start}: the whole depth image is empty (0, NaN or infinite); check the depth camera and its emitter'
    elif encoding == '32FC1' and median_m / 1000 >= MIN_ROOM_M and median_m > MAX_ROOM_M:
        said = (
            f'{start}: {median}, about 1000 times what a room allows, so that it seems to be in millimeters; 32FC1 '
            'must be in meters, and millimeters are 16UC1 (REP-118): correct the driver, or convert the depth image'
        )
    elif not low_m <= median_m <= high_m:
        said = f'{start}: {median}; change the range, or move the camera'
    else:
        said = (
            f'{start}, but other parts of the image have ({median}): depth cameras do not see glass, shiny or very '
            'dark things'
        )
    return NoDepthError('range', said, ErrorCode.DEPTH_OUT_OF_RANGE)


def too_few_points(minimum: int) -> NoDepthError:
    """Return why no instance has a box, although some have points."""
    said = f'no instance has the {minimum} points that a box needs; move the camera closer'
    return NoDepthError('points', said, ErrorCode.DEPTH_OUT_OF_RANGE)
