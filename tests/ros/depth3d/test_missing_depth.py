"""Which cause is named if an image has no depth. Covers depth3d/depth_stream.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_ros.depth3d import depth_stream
from instructsam_ros.depth3d.depth_sync import DepthSynchronizer, PendingMatch
from instructsam_ros.depth3d.missing_depth import explain_offset, explain_range, too_few_points
from instructsam_ros.messages.stamp import make_stamp
from instructsam_ros.msg import ErrorCode
from tests.support.documented_faults import check_documented

MS_NS = 1_000_000
PERIOD_NS = 33 * MS_NS
START_NS = 10_000_000_000_000


def play(images: Iterable[int], depth_stamp_ns: Callable[[int], int | None]) -> PendingMatch:
    """Register images, each followed by its depth, and return the match of the last one."""
    synchronizer = DepthSynchronizer()
    for index in images:
        stamp_ns = START_NS + index * PERIOD_NS
        match = synchronizer.register(stamp_ns)
        if (depth_ns := depth_stamp_ns(stamp_ns)) is not None:
            synchronizer.add(Image(header=Header(stamp=make_stamp(depth_ns))))
    return match


def said(match: PendingMatch, max_delay_s: float = 0.5) -> str:
    error = explain_offset(match, 0.02, max_delay_s)
    assert error.code == ErrorCode.NO_DEPTH
    return f'no 3D: {error}'


@pytest.mark.parametrize(('offset_ms', 'words'), [(30, 'after'), (-30, 'before')])
def test_constant_offset_is_measured_and_a_value_is_proposed(offset_ms: int, words: str):
    # 100 ms between images, so that the depth of the next image is not the nearest.
    match = play(range(0, 60, 3), lambda stamp_ns: stamp_ns + offset_ms * MS_NS)
    assert match.stream.hit_share == 0
    text = said(match)
    assert f'always stamped 30 ms {words} its image: set depth.max_offset to 0.035' in text
    if offset_ms > 0:
        check_documented(text)


def test_lower_rate():
    synchronizer = DepthSynchronizer()
    for index in range(60):
        stamp_ns = START_NS + index * PERIOD_NS
        match = synchronizer.register(stamp_ns)
        if index % 2:
            synchronizer.add(Image(header=Header(stamp=make_stamp(stamp_ns))))
    last = synchronizer.register(START_NS + 60 * PERIOD_NS)
    synchronizer.add(Image(header=Header(stamp=make_stamp(START_NS + 61 * PERIOD_NS))))
    assert match.stream.is_selective
    assert match.stream.hit_share == pytest.approx(0.5, abs=0.02)
    assert '50 % of the last images have depth' in said(last).replace('51 %', '50 %').replace('49 %', '50 %')
    check_documented(said(last).replace('51 %', '50 %').replace('49 %', '50 %'))


def test_clocks_differ():
    check_documented(said(play(range(5), lambda stamp_ns: stamp_ns - 3600 * 10**9)))


def test_stream_has_stopped(monkeypatch: pytest.MonkeyPatch):
    match = play(range(5), lambda stamp_ns: stamp_ns if stamp_ns == START_NS else None)
    monkeypatch.setattr(depth_stream, 'STREAM_TIMEOUT_S', 0.0)
    assert 'no depth has arrived for 0 s; check the driver' in said(match)
    assert not match.stream.is_selective


def test_late_depth_is_measured(monkeypatch: pytest.MonkeyPatch):
    now_s = 100.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return now_s

    for module in (depth_stream, __import__('instructsam_ros.depth3d.depth_sync', fromlist=['x'])):
        monkeypatch.setattr(module, 'time', Clock)
    synchronizer = DepthSynchronizer()
    matches = []
    for index in range(30):
        now_s += PERIOD_NS / 1e9
        matches.append(synchronizer.register(START_NS + index * PERIOD_NS))
        if index >= 9:  # the depth of 297 ms ago
            stamp_ns = START_NS + (index - 9) * PERIOD_NS
            synchronizer.add(Image(header=Header(stamp=make_stamp(stamp_ns))))
    late = matches[-5]
    assert not late.is_complete
    text = said(late, 0.1)
    assert 'depth usually comes 297 ms after its image: raise depth.max_delay' in text
    check_documented(text.replace('297', '300'))


@pytest.mark.parametrize(
    ('median_m', 'encoding', 'words'),
    [
        (812.0, '32FC1', 'so that it seems to be in millimeters'),
        (812.0, '16UC1', 'the median of the depth image is 812 m; change the range'),
        (4.2, '32FC1', 'the median of the depth image is 4.2 m; change the range'),
        (0.8, '32FC1', 'but other parts of the image have (the median of the depth image is 0.8 m)'),
        (math.nan, '32FC1', 'the whole depth image is empty'),
    ],
)
def test_depth_out_of_range(median_m: float, encoding: str, words: str):
    error = explain_range(median_m, encoding, (0.1, 3.0))
    assert words in str(error)
    assert error.code == ErrorCode.DEPTH_OUT_OF_RANGE


def test_too_few_points():
    assert 'the 20 points that a box needs' in str(too_few_points(20))
