"""Which depth belongs to which image."""

from __future__ import annotations

import gc
import threading
import time

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_ros.depth3d import depth_sync
from instructsam_ros.depth3d.depth_sync import BUFFER_SIZE, DepthSynchronizer
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns

PERIOD_NS = 33_000_000


def depth(stamp_ns: int) -> Image:
    return Image(header=Header(stamp=make_stamp(stamp_ns)))


def test_resolve_returns_the_nearest_earlier_message():
    synchronizer = DepthSynchronizer()
    messages = [depth(index * PERIOD_NS) for index in range(3)]
    for message in messages:
        synchronizer.add(message)
    match = synchronizer.register(PERIOD_NS + 2)
    assert synchronizer.resolve(match) is messages[1]
    assert match.offset_ns == 2


def test_later_message_is_kept_if_nearer_however_long_inference_takes():
    synchronizer = DepthSynchronizer()
    synchronizer.add(depth(0))
    match = synchronizer.register(PERIOD_NS)
    best = depth(PERIOD_NS + 5)
    synchronizer.add(best)
    for index in range(2, 10 * BUFFER_SIZE):  # the buffer has been filled many times
        synchronizer.add(depth(index * PERIOD_NS))
    assert synchronizer.resolve(match) is best


def test_resolve_waits_for_depth_that_may_arrive():
    synchronizer = DepthSynchronizer()
    synchronizer.add(depth(0))
    match, late = synchronizer.register(PERIOD_NS), depth(PERIOD_NS)
    timer = threading.Timer(0.02, synchronizer.add, (late,))
    timer.start()
    assert synchronizer.resolve(match) is late
    timer.join()


def test_resolve_does_not_wait_if_no_depth_arrives(monkeypatch):
    monkeypatch.setattr(depth_sync, 'ARRIVAL_TIMEOUT_S', 60.0)
    synchronizer = DepthSynchronizer()
    started_s = time.monotonic()
    assert synchronizer.resolve(synchronizer.register(PERIOD_NS)) is None
    synchronizer.add(depth(0))
    monkeypatch.setattr(depth_sync, 'STREAM_TIMEOUT_S', 0.0)
    assert read_stamp_ns(synchronizer.resolve(synchronizer.register(PERIOD_NS)).header.stamp) == 0
    assert time.monotonic() - started_s < 30


def test_released_match_is_not_pending():
    synchronizer = DepthSynchronizer()
    match = synchronizer.register(0)
    synchronizer.add(depth(0))
    assert match.message is not None
    del match
    gc.collect()
    assert synchronizer.pending == 0
