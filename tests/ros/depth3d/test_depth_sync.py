"""Which depth belongs to which image."""

from __future__ import annotations

import gc
import threading
import time

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_ros.depth3d import depth_sync
from instructsam_ros.depth3d.depth_sync import KEPT, DepthSynchronizer
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns

PERIOD_NS = 33_000_000


def depth(stamp_ns: int) -> Image:
    return Image(header=Header(stamp=make_stamp(stamp_ns)))


def test_the_nearest_of_what_came_before_the_image():
    ring = DepthSynchronizer()
    messages = [depth(index * PERIOD_NS) for index in range(3)]
    for message in messages:
        ring.add(message)
    match = ring.follow(PERIOD_NS + 2)
    assert ring.settle(match) is messages[1]
    assert match.offset_ns == 2


def test_what_comes_after_the_image_is_taken_if_it_is_nearer_however_long_the_answer_takes():
    ring = DepthSynchronizer()
    ring.add(depth(0))
    match = ring.follow(PERIOD_NS)
    best = depth(PERIOD_NS + 5)
    ring.add(best)
    for index in range(2, 10 * KEPT):  # the ring has long been filled anew
        ring.add(depth(index * PERIOD_NS))
    assert ring.settle(match) is best
    assert len(ring._messages) == KEPT


def test_waits_for_depth_that_is_on_its_way():
    ring = DepthSynchronizer()
    ring.add(depth(0))
    match, late = ring.follow(PERIOD_NS), depth(PERIOD_NS)
    timer = threading.Timer(0.02, ring.add, (late,))
    timer.start()
    assert ring.settle(match) is late
    timer.join()


def test_does_not_wait_where_nothing_comes_any_more(monkeypatch):
    monkeypatch.setattr(depth_sync, 'WAIT_S', 60.0)
    ring = DepthSynchronizer()
    started_s = time.monotonic()
    assert ring.settle(ring.follow(PERIOD_NS)) is None
    ring.add(depth(0))
    monkeypatch.setattr(depth_sync, 'SILENT_S', 0.0)
    assert read_stamp_ns(ring.settle(ring.follow(PERIOD_NS)).header.stamp) == 0
    assert time.monotonic() - started_s < 30


def test_an_image_that_nobody_answers_holds_no_depth():
    ring = DepthSynchronizer()
    match = ring.follow(0)
    ring.add(depth(0))
    assert match.message is not None
    del match
    gc.collect()
    assert not len(ring._followed)
