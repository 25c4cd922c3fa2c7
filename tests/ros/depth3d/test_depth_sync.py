"""Which depth image belongs to which color image."""

from __future__ import annotations

import gc

import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_ros.depth3d import depth_stream
from instructsam_ros.depth3d.depth_sync import BUFFER_SIZE, DepthSynchronizer
from instructsam_ros.messages.stamp import make_stamp

PERIOD_NS = 33_000_000
LAP_NS = 25_000_000_000


def depth(stamp_ns: int) -> Image:
    return Image(header=Header(stamp=make_stamp(stamp_ns)))


def filled(*stamps_ns: int) -> tuple[DepthSynchronizer, list[Image]]:
    """A synchronizer and the messages that it has received."""
    synchronizer, messages = DepthSynchronizer(), [depth(stamp_ns) for stamp_ns in stamps_ns]
    for message in messages:
        synchronizer.add(message)
    return synchronizer, messages


def test_nearest_earlier_message():
    synchronizer, messages = filled(0, PERIOD_NS, 2 * PERIOD_NS)
    match = synchronizer.register(PERIOD_NS + 2)
    assert match.message is messages[1]
    assert (match.offset_ns, match.is_settled(60.0)) == (-2, True)


def test_later_message_is_kept_if_nearer_however_long_inference_takes():
    synchronizer, _ = filled(0)
    match = synchronizer.register(PERIOD_NS)
    best = depth(PERIOD_NS + 5)
    synchronizer.add(best)
    for index in range(2, 10 * BUFFER_SIZE):  # the buffer has been filled many times
        synchronizer.add(depth(index * PERIOD_NS))
    assert match.message is best


def test_depth_that_may_arrive_is_waited_for():
    synchronizer, _ = filled(0)
    match, late = synchronizer.register(PERIOD_NS), depth(PERIOD_NS)
    assert not match.is_settled(60.0)
    assert match.is_settled(0.0), 'it has waited for max_delay'
    synchronizer.add(late)
    assert (match.message, match.is_settled(60.0)) == (late, True)


@pytest.mark.parametrize(('offset_ns', 'settled'), [(-5_000_000, True), (-18_000_000, False)])
def test_nearest_message_is_not_waited_out_if_the_next_one_is_expected_to_be_farther_away(
    offset_ns: int, settled: bool
):
    synchronizer, _ = filled(0, PERIOD_NS)
    assert synchronizer.register(PERIOD_NS - offset_ns).is_settled(60.0) == settled


def test_depth_is_not_waited_for_if_none_arrives(monkeypatch: pytest.MonkeyPatch):
    first = DepthSynchronizer().register(PERIOD_NS)
    assert not first.is_settled(60.0), 'depth may come shortly after the subscription, as that of latched publishers'
    synchronizer, messages = filled(0)
    match = synchronizer.register(PERIOD_NS)
    monkeypatch.setattr(depth_stream, 'STREAM_TIMEOUT_S', 0.0)
    assert first.is_settled(60.0)
    assert (match.message, match.is_settled(60.0)) == (messages[0], True)


def test_released_match_is_not_pending():
    synchronizer = DepthSynchronizer()
    match = synchronizer.register(0)
    synchronizer.add(depth(0))
    assert match.message is not None
    del match
    gc.collect()
    assert synchronizer.pending == 0


def test_depth_of_the_lap_before_is_forgotten():
    synchronizer, _ = filled(*(LAP_NS + index * PERIOD_NS for index in range(3)))
    first = synchronizer.register(0)
    assert not first.is_settled(60.0), 'depth of the end of the last lap does not show that this one has passed'
    late = depth(0)
    synchronizer.add(late)
    assert (first.message, first.is_settled(60.0)) == (late, True)
    assert synchronizer.newest is late
    second = synchronizer.register(PERIOD_NS)
    assert second.message is late


def test_message_of_this_lap_replaces_one_with_the_same_stamp():
    synchronizer, _ = filled(PERIOD_NS)
    match = synchronizer.register(PERIOD_NS)
    again = depth(PERIOD_NS)
    synchronizer.add(again)
    assert match.message is again


def test_jump_of_the_clock_ends_the_search_for_images_of_the_lap_before():
    synchronizer, _ = filled(LAP_NS)
    before, after = synchronizer.register(LAP_NS + PERIOD_NS), synchronizer.register(PERIOD_NS)
    synchronizer.restart(0)
    assert before.is_settled(60.0)
    assert not after.is_settled(60.0)
    assert synchronizer.newest is None


def test_messages_out_of_order_are_no_jump():
    synchronizer, messages = filled(0, 2 * PERIOD_NS, PERIOD_NS)
    assert synchronizer.register(2 * PERIOD_NS).message is messages[1]
