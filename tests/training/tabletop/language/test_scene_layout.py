"""Spatial relations and comparisons: true, false, and unknown in between. Covers ternary_logic.py, nouns.py too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instructsam_training.tabletop.language.nouns import Noun
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.ternary_logic import Ternary, fewer_than, logical_and
from tests.support.handmade_view import Placed, make_view

MUG = Placed('red', 'mug', 0.0, 0.0)
BALL = Placed('red', 'ball', 0.1, 0.0, 0.4)


@pytest.mark.parametrize(('x', 'is_left'), [(0.2, True), (0.06, True), (0.04, None), (0.0, None), (-0.06, False)])
def test_left_needs_a_distance_in_the_image(x: float, is_left: Ternary) -> None:
    one, other = (layout := SceneLayout(make_view(MUG, Placed('red', 'mug', x, 0.0)))).objects
    assert layout.holds('left', one, other) is layout.holds('right', other, one) is is_left
    assert layout.holds('right', one, other) is (None if is_left is None else not is_left)


def test_small_objects_need_a_distance_too() -> None:
    ball, aside, behind = (layout := SceneLayout(make_view(BALL, replace(BALL, x=0.14), replace(BALL, y=0.03)))).objects
    assert layout.holds('left', ball, aside) is None
    assert layout.holds('front', ball, behind) is None


def test_left_of_an_object_that_extends_further_left_is_unknown() -> None:
    plate = Placed('white', 'plate', 0.1, -0.2, scale=1.6)
    one, other = (layout := SceneLayout(make_view(MUG, plate))).objects
    assert one.box_xyxy[0] > other.box_xyxy[0]
    assert one.box_xyxy[0] + one.box_xyxy[2] + 50 < other.box_xyxy[0] + other.box_xyxy[2]
    assert layout.holds('left', one, other) is None


@pytest.mark.parametrize(('y', 'is_front'), [(0.2, True), (0.06, True), (0.03, None), (-0.03, None), (-0.06, False)])
def test_front_needs_a_distance_along_the_table(y: float, is_front: Ternary) -> None:
    one, other = (layout := SceneLayout(make_view(MUG, Placed('red', 'mug', 0.0, y)))).objects
    assert layout.holds('front', one, other) is layout.holds('behind', other, one) is is_front


def test_in_front_of_an_object_that_extends_nearer_is_unknown() -> None:
    ball, plate = (layout := SceneLayout(make_view(BALL, Placed('white', 'plate', -0.2, 0.08, 1.5)))).objects
    assert layout.holds('front', ball, plate) is None


def test_height_does_not_count_for_nearness() -> None:
    bottle, plate = (
        layout := SceneLayout(make_view(Placed('red', 'bottle', -0.2, 0.1), Placed('red', 'plate', 0.2, 0.0)))
    ).objects
    assert bottle.position_camera_m[2] < plate.position_camera_m[2]
    assert layout.holds('front', plate, bottle) is True


@pytest.mark.parametrize(('x', 'is_closer'), [(0.15, True), (0.115, None), (0.1, None), (0.07, False)])
def test_closer_needs_a_ratio(x: float, is_closer: Ternary) -> None:
    anchor, one, other = (
        layout := SceneLayout(make_view(MUG, Placed('red', 'mug', -0.1, 0.0), Placed('red', 'mug', x, 0.0)))
    ).objects
    assert layout.is_closer(one, other, anchor) is is_closer


@pytest.mark.parametrize(('x', 'is_beside'), [(0.11, True), (0.14, None), (0.2, False)])
def test_beside_depends_on_the_gap(x: float, is_beside: Ternary) -> None:
    one, other = (layout := SceneLayout(make_view(MUG, Placed('red', 'mug', x, 0.0)))).objects
    assert layout.holds('beside', one, other) is is_beside


def test_stacked_objects_have_no_other_relation() -> None:
    objects = (
        Placed('red', 'plate', 0, 0),
        Placed('red', 'bowl', 0, 0, on=1),
        Placed('red', 'ball', 0, 0, 0.6, inside=2),
        BALL,
    )
    plate, bowl, inner, outer = (layout := SceneLayout(make_view(*objects))).objects
    assert layout.holds('on', bowl, plate) is True
    assert layout.holds('inside', inner, bowl) is True
    assert layout.holds('on', inner, plate) is layout.holds('on', inner, bowl) is None
    assert layout.holds('inside', bowl, plate) is layout.holds('front', bowl, plate) is None
    assert layout.holds('on', outer, plate) is layout.holds('inside', outer, bowl) is False


@pytest.mark.parametrize(('scale', 'is_larger'), [(1.3, True), (1.2, None), (0.85, None), (0.75, False)])
def test_larger_and_taller_need_a_ratio_of_lengths(scale: float, is_larger: Ternary) -> None:
    one, other = (layout := SceneLayout(make_view(Placed('red', 'mug', -0.2, 0.0, scale), MUG))).objects
    assert layout.is_larger(one, other) is layout.is_taller(one, other) is is_larger


def test_some_objects_are_neither_larger_nor_smaller() -> None:
    knife, box = (layout := SceneLayout(make_view(Placed('red', 'knife', 0, 0), Placed('red', 'box', 0.2, 0)))).objects
    assert layout.is_larger(knife, box) is layout.is_larger(box, knife) is None


def test_only_upright_objects_have_a_height() -> None:
    objects = (
        Placed('red', 'hammer', -0.2, 0, 1.2),
        MUG,
        Placed('red', 'box', 0.2, 0),
        Placed('red', 'bottle', 0.2, 0, on=3),
    )
    hammer, mug, box, bottle = (layout := SceneLayout(make_view(*objects))).objects
    assert layout.is_taller(mug, hammer) is True
    assert layout.is_shorter(hammer, mug) is None
    assert layout.is_shorter(box, mug) is True
    assert layout.is_taller(bottle, mug) is None


def test_sizes_of_partly_hidden_objects_are_unknown() -> None:
    one, other = (layout := SceneLayout(make_view(Placed('red', 'mug', -0.2, 0.0, 1.5, visible=0.5), MUG))).objects
    assert layout.is_larger(one, other) is layout.is_taller(one, other) is None


def test_whether_a_knife_is_a_tool_is_unknown() -> None:
    knife, hammer, mug = make_view(Placed('red', 'knife', -0.2, 0), Placed('red', 'hammer', 0.2, 0), MUG).objects
    assert [Noun('tool').matches(obj) for obj in (knife, hammer, mug)] == [None, True, False]
    assert Noun('tool', 'blue').matches(knife) is False


def test_ternary_logic() -> None:
    assert logical_and(True, None, False) is False
    assert logical_and(True, None) is None
    assert [fewer_than(2, [True, None, other]) for other in (False, None, True)] == [None, None, False]
    assert fewer_than(2, [True, False]) is True
