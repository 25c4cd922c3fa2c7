"""Jumps back of the clock of the node and of the stamps of cameras, in any order."""

from __future__ import annotations

import pytest

from instructsam_ros.inference import timeline
from instructsam_ros.inference.timeline import MAX_JUMPS, Timeline

SECOND_NS = 1_000_000_000
END_NS, START_NS = 1_025 * SECOND_NS, 1_000 * SECOND_NS


class Node:
    """A timeline and what it has called; the test advances the steady clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.restarts: list[int | None] = []
        self.lines: list[str] = []
        monkeypatch.setattr(timeline, 'time', self)
        self.timeline = Timeline(self.restarts.append, self.lines.append)

    def monotonic(self) -> float:
        return self.now_s

    def add(self, *stamps_ns: int, camera: str = '') -> list[int]:
        return [self.timeline.add_image(camera, stamp_ns) for stamp_ns in stamps_ns]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


def test_stamps_that_grow_repeat_or_are_out_of_order_are_one_lap(node: Node):
    assert node.add(START_NS, START_NS, START_NS + SECOND_NS, START_NS + SECOND_NS - 30_000_000, END_NS) == [0] * 5
    assert (node.restarts, node.lines) == ([], [])


def test_bag_without_clock_starts_over(node: Node):
    assert node.add(END_NS, START_NS, START_NS + SECOND_NS) == [0, 1, 1]
    assert node.restarts == [START_NS]
    said = 'the stamps of the camera have jumped back by 25.0 s: transforms, depth and object ids start over'
    assert node.lines == [said]


@pytest.mark.parametrize('first', ['clock', 'left', 'right'])
def test_clock_and_cameras_jump_in_any_order_with_one_line(node: Node, first: str):
    node.add(END_NS, camera='left')
    node.add(END_NS, camera='right')
    jumps = {
        'clock': lambda: node.timeline.jump(START_NS, 'the clock has jumped back by 25.0 s'),
        'left': lambda: node.add(START_NS, camera='left'),
        'right': lambda: node.add(START_NS, camera='right'),
    }
    for name in sorted(jumps, key=lambda name: name != first):
        jumps[name]()
    assert len(node.lines) == 1
    assert node.add(START_NS + SECOND_NS, camera='left') == node.add(START_NS + SECOND_NS, camera='right') == [1]
    node.now_s += 25
    node.add(END_NS, START_NS, camera='left')
    assert len(node.lines) == 2
    assert node.add(START_NS, camera='left') == [2]


def test_image_of_the_last_lap_after_the_jump_of_the_clock(node: Node):
    node.add(END_NS - SECOND_NS)
    node.timeline.jump(START_NS, 'the clock has jumped back by 24.0 s')
    laps = node.add(END_NS, START_NS, START_NS + 1)
    assert laps[1] == laps[2] != laps[0]
    assert len(node.lines) == 1


def test_switch_of_the_clock_starts_over(node: Node):
    node.add(START_NS)
    node.timeline.jump(None, 'use_sim_time was set to true')
    assert node.restarts == [None]
    assert node.lines == ['use_sim_time was set to true: transforms, depth and object ids start over']
    assert node.add(5) == [1]


def test_two_publishers_with_different_clocks_are_no_laps(node: Node):
    laps = node.add(*[END_NS, START_NS] * 20)
    assert laps[-1] == MAX_JUMPS
    assert len(node.restarts) == MAX_JUMPS
    assert len(node.lines) == 2
    assert 'jump back again and again, now by 25.0 s' in node.lines[1]


def test_age_is_unknown_right_after_a_jump(node: Node):
    node.add(END_NS, START_NS)
    assert node.timeline.age_s(END_NS, START_NS) == 0.0
    assert node.timeline.age_s(START_NS + SECOND_NS // 10, START_NS) == pytest.approx(0.1)
    node.now_s += 3
    assert node.timeline.age_s(END_NS, START_NS) == pytest.approx(25.0)
