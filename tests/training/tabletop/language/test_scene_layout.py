"""How things lie to each other: yes, no, and in between neither."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instructsam_training.tabletop.language.nouns import Noun
from instructsam_training.tabletop.language.scene_layout import Layout
from instructsam_training.tabletop.language.ternary_logic import Verdict, conjunction, fewer_than
from tests.support.hand_made import Put, look_at

MUG = Put('red', 'mug', 0.0, 0.0)
BALL = Put('red', 'ball', 0.1, 0.0, 0.4)


@pytest.mark.parametrize(('x', 'is_left'), [(0.2, True), (0.06, True), (0.04, None), (0.0, None), (-0.06, False)])
def test_left_needs_a_distance_in_the_picture(x: float, is_left: Verdict) -> None:
    one, other = (layout := Layout(look_at(MUG, Put('red', 'mug', x, 0.0)))).things
    assert layout.holds('left', one, other) is layout.holds('right', other, one) is is_left
    assert layout.holds('right', one, other) is (None if is_left is None else not is_left)


def test_small_things_need_a_distance_too() -> None:
    ball, aside, behind = (layout := Layout(look_at(BALL, replace(BALL, x=0.14), replace(BALL, y=0.03)))).things
    assert layout.holds('left', ball, aside) is None
    assert layout.holds('front', ball, behind) is None


def test_left_of_what_reaches_further_left_is_doubtful() -> None:
    plate = Put('white', 'plate', 0.1, -0.2, scale=1.6)
    one, other = (layout := Layout(look_at(MUG, plate))).things
    assert one.box_xyxy[0] > other.box_xyxy[0]
    assert one.box_xyxy[0] + one.box_xyxy[2] + 50 < other.box_xyxy[0] + other.box_xyxy[2]
    assert layout.holds('left', one, other) is None


@pytest.mark.parametrize(('y', 'is_front'), [(0.2, True), (0.06, True), (0.03, None), (-0.03, None), (-0.06, False)])
def test_front_needs_a_distance_along_the_table(y: float, is_front: Verdict) -> None:
    one, other = (layout := Layout(look_at(MUG, Put('red', 'mug', 0.0, y)))).things
    assert layout.holds('front', one, other) is layout.holds('behind', other, one) is is_front


def test_in_front_of_what_reaches_nearer_is_doubtful() -> None:
    ball, plate = (layout := Layout(look_at(BALL, Put('white', 'plate', -0.2, 0.08, 1.5)))).things
    assert layout.holds('front', ball, plate) is None


def test_a_tall_thing_is_no_nearer_for_it() -> None:
    bottle, plate = (layout := Layout(look_at(Put('red', 'bottle', -0.2, 0.1), Put('red', 'plate', 0.2, 0.0)))).things
    assert bottle.position_camera_m[2] < plate.position_camera_m[2]
    assert layout.holds('front', plate, bottle) is True


@pytest.mark.parametrize(('x', 'is_closer'), [(0.15, True), (0.115, None), (0.1, None), (0.07, False)])
def test_closer_needs_a_ratio(x: float, is_closer: Verdict) -> None:
    anchor, one, other = (
        layout := Layout(look_at(MUG, Put('red', 'mug', -0.1, 0.0), Put('red', 'mug', x, 0.0)))
    ).things
    assert layout.is_closer(one, other, anchor) is is_closer


@pytest.mark.parametrize(('x', 'is_beside'), [(0.11, True), (0.14, None), (0.2, False)])
def test_beside_is_a_matter_of_the_gap(x: float, is_beside: Verdict) -> None:
    one, other = (layout := Layout(look_at(MUG, Put('red', 'mug', x, 0.0)))).things
    assert layout.holds('beside', one, other) is is_beside


def test_what_rests_on_another_is_nowhere_else() -> None:
    puts = (Put('red', 'plate', 0, 0), Put('red', 'bowl', 0, 0, on=1), Put('red', 'ball', 0, 0, 0.6, inside=2), BALL)
    plate, bowl, inner, outer = (layout := Layout(look_at(*puts))).things
    assert layout.holds('on', bowl, plate) is True
    assert layout.holds('inside', inner, bowl) is True
    assert layout.holds('on', inner, plate) is layout.holds('on', inner, bowl) is None
    assert layout.holds('inside', bowl, plate) is layout.holds('front', bowl, plate) is None
    assert layout.holds('on', outer, plate) is layout.holds('inside', outer, bowl) is False


@pytest.mark.parametrize(('scale', 'is_larger'), [(1.3, True), (1.2, None), (0.85, None), (0.75, False)])
def test_larger_and_taller_need_a_ratio_of_lengths(scale: float, is_larger: Verdict) -> None:
    one, other = (layout := Layout(look_at(Put('red', 'mug', -0.2, 0.0, scale), MUG))).things
    assert layout.is_larger(one, other) is layout.is_taller(one, other) is is_larger


def test_some_things_are_neither_larger_nor_smaller() -> None:
    knife, box = (layout := Layout(look_at(Put('red', 'knife', 0, 0), Put('red', 'box', 0.2, 0)))).things
    assert layout.is_larger(knife, box) is layout.is_larger(box, knife) is None


def test_height_is_that_of_what_stands() -> None:
    puts = (Put('red', 'hammer', -0.2, 0, 1.2), MUG, Put('red', 'box', 0.2, 0), Put('red', 'bottle', 0.2, 0, on=3))
    hammer, mug, box, bottle = (layout := Layout(look_at(*puts))).things
    assert layout.is_taller(mug, hammer) is True
    assert layout.is_shorter(hammer, mug) is None
    assert layout.is_shorter(box, mug) is True
    assert layout.is_taller(bottle, mug) is None


def test_partly_hidden_things_are_of_any_size() -> None:
    one, other = (layout := Layout(look_at(Put('red', 'mug', -0.2, 0.0, 1.5, visible=0.5), MUG))).things
    assert layout.is_larger(one, other) is layout.is_taller(one, other) is None


def test_some_call_a_knife_a_tool() -> None:
    knife, hammer, mug = look_at(Put('red', 'knife', -0.2, 0), Put('red', 'hammer', 0.2, 0), MUG).things
    assert [Noun('tool').fits(thing) for thing in (knife, hammer, mug)] == [None, True, False]
    assert Noun('tool', 'blue').fits(knife) is False


def test_three_values() -> None:
    assert conjunction(True, None, False) is False
    assert conjunction(True, None) is None
    assert [fewer_than(2, [True, None, other]) for other in (False, None, True)] == [None, None, False]
    assert fewer_than(2, [True, False]) is True
