"""Instructions about hand-made views: targets and ambiguity. Covers query_samplers.py and scene_query.py too."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import get_args

import pytest

from instructsam_training.tabletop.language.instructions import GroundedInstruction, sample_instructions
from instructsam_training.tabletop.language.scene_query import QueryKind
from instructsam_training.tabletop.language.sentence_templates import Split
from tests.support.handmade_view import Placed, make_view

# Seen from above, the camera below:
#
#    hammer 7             wooden bowl 3 with ball 4     bottle 5
#               red mug 1
#    blue mug 2                       green mug 6           plate 8 with box 9
RED, BLUE, BOWL, BALL, BOTTLE, GREEN, HAMMER, PLATE, BOX = range(1, 10)
TABLE = (
    Placed('red', 'mug', -0.15, 0.0),
    Placed('blue', 'mug', -0.38, -0.18, scale=1.4),
    Placed('brown', 'bowl', 0.0, 0.2, material='wood'),
    Placed('red', 'ball', 0.0, 0.2, scale=0.6, inside=BOWL, visible=0.9),
    Placed('green', 'bottle', 0.25, 0.18),
    Placed('green', 'mug', 0.07, -0.18, scale=0.7),
    Placed('black', 'hammer', -0.4, 0.2),
    Placed('white', 'plate', 0.38, -0.15),
    Placed('yellow', 'box', 0.38, -0.15, on=PLATE),
)


def sample(*objects: Placed, split: Split = 'train', seeds: int = 80) -> list[GroundedInstruction]:
    """All instructions about a view over many seeds."""
    view = make_view(*objects)
    return [instruction for seed in range(seeds) for instruction in sample_instructions(view, Random(seed), split, 12)]


def targets_by_phrase(instructions: list[GroundedInstruction]) -> dict[str, set[tuple[int, ...]]]:
    found: dict[str, set[tuple[int, ...]]] = {}
    for instruction in instructions:
        for part in instruction.parts:
            found.setdefault(part.phrase, set()).add(part.targets)
    return found


@pytest.fixture(scope='module')
def instructions() -> list[GroundedInstruction]:
    return sample(*TABLE, seeds=300)


EXPECTED = {
    'mugs': (RED, BLUE, GREEN),
    'plate': (PLATE,),
    'red mug': (RED,),
    'green things': (BOTTLE, GREEN),
    'largest mug': (BLUE,),
    'smallest mug': (GREEN,),
    'tallest thing': (BOTTLE,),
    'mug taller than red mug': (BLUE,),
    'mug larger than red mug': (BLUE,),
    'mug left of red mug': (BLUE,),
    'mugs left of bottle': (RED, BLUE, GREEN),
    'things right of green mug': (BOTTLE, PLATE, BOX),
    'mugs in front of bowl': (RED, BLUE, GREEN),
    'thing in bowl': (BALL,),
    'thing on plate': (BOX,),
    'leftmost mug': (BLUE,),
    'second mug from left': (RED,),
    'second mug from right': (RED,),
    'mug closest to bowl': (RED,),
    'mug closest to green mug': (RED,),
    'furthest mug': (RED,),
    'two largest mugs': (RED, BLUE),
    'two leftmost mugs': (RED, BLUE),
    'three mugs': (RED, BLUE, GREEN),
    'mugs but not red': (BLUE, GREEN),
    'mugs but not largest': (RED, GREEN),
    'things but not mugs': (BOWL, BALL, BOTTLE, HAMMER, PLATE, BOX),
    'thing to drink from': (RED, BLUE, BOTTLE, GREEN),
    'tool for nails': (HAMMER,),
    'tool for screws': (),
    'red hammer': (),
    'mug in bowl': (),
    'ball on box': (),
    'mug next to red mug': (),
    'banana': (),
}


@pytest.mark.parametrize(('phrase', 'targets'), EXPECTED.items())
def test_targets_of_phrases(instructions: list[GroundedInstruction], phrase: str, targets: tuple[int, ...]) -> None:
    assert targets_by_phrase(instructions)[phrase] == {targets}


def test_kinds_are_sampled_equally_often_and_some_have_no_target(instructions: list[GroundedInstruction]) -> None:
    counts = {kind: sum(instruction.kind == kind for instruction in instructions) for kind in get_args(QueryKind)}
    none = counts.pop('none')
    assert 0.08 < none / len(instructions) < 0.15
    assert max(counts.values()) < 1.4 * min(counts.values())
    for instruction in instructions:
        assert (instruction.kind == 'none') == (not instruction.targets)
        assert len(instruction.parts) == 1 or instruction.kind == 'several'
        assert all(len(part.phrase.split()) <= 8 for part in instruction.parts)


def test_phrases_of_one_instruction_have_different_targets(instructions: list[GroundedInstruction]) -> None:
    several = [instruction for instruction in instructions if instruction.kind == 'several']
    known = targets_by_phrase([instruction for instruction in instructions if instruction.kind != 'several'])
    for instruction in several:
        labels = [label for part in instruction.parts for label in part.targets]
        assert len(set(labels)) == len(labels)
        assert all(part.phrase in instruction.text for part in instruction.parts)
        assert all(known.get(part.phrase, {part.targets}) == {part.targets} for part in instruction.parts)


def test_test_wordings_have_the_same_targets(instructions: list[GroundedInstruction]) -> None:
    others = sample(*TABLE, split='test')
    known, found = targets_by_phrase(instructions), targets_by_phrase(others)
    assert len(known.keys() & found.keys()) > 100
    assert all(known[phrase] == found[phrase] for phrase in known.keys() & found.keys())
    assert not {instruction.text for instruction in instructions} & {instruction.text for instruction in others}


def test_anchor_is_never_a_target(instructions: list[GroundedInstruction]) -> None:
    assert 'thing on box' in targets_by_phrase(instructions)
    assert not {'box on box', 'bowl in bowl', 'yellow box on box'} & targets_by_phrase(instructions).keys()


def changed(label: int, **changes: object) -> tuple[Placed, ...]:
    return tuple(replace(obj, **changes) if number == label else obj for number, obj in enumerate(TABLE, start=1))  # type: ignore[arg-type]


AMBIGUOUS = {
    'sizes are alike': (changed(BLUE, scale=1.15), 'largest mug'),
    'one is as far left as the other': (changed(RED, x=-0.42), 'leftmost mug'),
    'two anchors fit': ((*TABLE, Placed('red', 'bowl', 0.1, 0.0)), 'mug left of bowl'),
    'a target is hardly visible': (changed(RED, visible=0.2), 'red mug'),
    'one of many is hardly visible': (changed(RED, visible=0.2), 'mugs'),
    'what is hardly visible may be what is meant': (changed(BLUE, visible=0.2), 'leftmost mug'),
    'what is partly hidden may be of any size': (changed(BLUE, visible=0.5), 'largest mug'),
}


@pytest.mark.parametrize(('objects', 'phrase'), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous_instructions_are_not_sampled(objects: tuple[Placed, ...], phrase: str) -> None:
    assert phrase not in targets_by_phrase(sample(*objects, seeds=40))


def test_same_seed_gives_the_same_instructions() -> None:
    view = make_view(*TABLE)
    assert sample_instructions(view, Random(3), 'train', 8) == sample_instructions(view, Random(3), 'train', 8)
    assert sample_instructions(view, Random(3), 'train', 8) != sample_instructions(view, Random(4), 'train', 8)


def test_empty_table_has_no_instructions() -> None:
    assert sample_instructions(make_view(), Random(0), 'train', 8) == []
