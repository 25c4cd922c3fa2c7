"""Instructions about hand-made tables: what they mean, and what is not asked because nobody could say."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import get_args

import pytest

from instructsam_training.tabletop.language.instructions import Question, questions
from instructsam_training.tabletop.language.scene_query import Kind
from instructsam_training.tabletop.language.sentence_templates import Split
from tests.support.hand_made import Put, look_at

# Seen from above, the camera below:
#
#    hammer 7             wooden bowl 3 with ball 4     bottle 5
#               red mug 1
#    blue mug 2                       green mug 6           plate 8 with box 9
RED, BLUE, BOWL, BALL, BOTTLE, GREEN, HAMMER, PLATE, BOX = range(1, 10)
TABLE = (
    Put('red', 'mug', -0.15, 0.0),
    Put('blue', 'mug', -0.38, -0.18, scale=1.4),
    Put('brown', 'bowl', 0.0, 0.2, material='wood'),
    Put('red', 'ball', 0.0, 0.2, scale=0.6, inside=BOWL, visible=0.9),
    Put('green', 'bottle', 0.25, 0.18),
    Put('green', 'mug', 0.07, -0.18, scale=0.7),
    Put('black', 'hammer', -0.4, 0.2),
    Put('white', 'plate', 0.38, -0.15),
    Put('yellow', 'box', 0.38, -0.15, on=PLATE),
)


def ask(*puts: Put, split: Split = 'train', seeds: int = 80) -> list[Question]:
    """Everything that is asked about a table sooner or later."""
    view = look_at(*puts)
    return [question for seed in range(seeds) for question in questions(view, Random(seed), split, 12)]


def meanings(asked: list[Question]) -> dict[str, set[tuple[int, ...]]]:
    found: dict[str, set[tuple[int, ...]]] = {}
    for question in asked:
        for part in question.parts:
            found.setdefault(part.phrase, set()).add(part.targets)
    return found


@pytest.fixture(scope='module')
def asked() -> list[Question]:
    return ask(*TABLE, seeds=300)


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
def test_instructions_mean_what_people_mean(asked: list[Question], phrase: str, targets: tuple[int, ...]) -> None:
    assert meanings(asked)[phrase] == {targets}


def test_every_kind_is_asked_about_as_often_and_some_have_no_target(asked: list[Question]) -> None:
    counts = {kind: sum(question.kind == kind for question in asked) for kind in get_args(Kind)}
    none = counts.pop('none')
    assert 0.08 < none / len(asked) < 0.15
    assert max(counts.values()) < 1.4 * min(counts.values())
    for question in asked:
        assert (question.kind == 'none') == (not question.targets)
        assert len(question.parts) == 1 or question.kind == 'several'
        assert all(len(part.phrase.split()) <= 8 for part in question.parts)


def test_several_phrases_mean_different_things(asked: list[Question]) -> None:
    several = [question for question in asked if question.kind == 'several']
    known = meanings([question for question in asked if question.kind != 'several'])
    for question in several:
        labels = [label for part in question.parts for label in part.targets]
        assert len(set(labels)) == len(labels)
        assert all(part.phrase in question.text for part in question.parts)
        assert all(known.get(part.phrase, {part.targets}) == {part.targets} for part in question.parts)


def test_other_words_mean_the_same(asked: list[Question]) -> None:
    others = ask(*TABLE, split='test')
    known, found = meanings(asked), meanings(others)
    assert len(known.keys() & found.keys()) > 100
    assert all(known[phrase] == found[phrase] for phrase in known.keys() & found.keys())
    assert not {question.text for question in asked} & {question.text for question in others}


def test_a_thing_is_not_looked_for_on_itself(asked: list[Question]) -> None:
    assert 'thing on box' in meanings(asked)
    assert not {'box on box', 'bowl in bowl', 'yellow box on box'} & meanings(asked).keys()


def changed(label: int, **changes: object) -> tuple[Put, ...]:
    return tuple(replace(put, **changes) if number == label else put for number, put in enumerate(TABLE, start=1))  # type: ignore[arg-type]


DOUBTS = {
    'sizes are alike': (changed(BLUE, scale=1.15), 'largest mug'),
    'one is as far left as the other': (changed(RED, x=-0.42), 'leftmost mug'),
    'two anchors fit': ((*TABLE, Put('red', 'bowl', 0.1, 0.0)), 'mug left of bowl'),
    'a target is hardly visible': (changed(RED, visible=0.2), 'red mug'),
    'one of many is hardly visible': (changed(RED, visible=0.2), 'mugs'),
    'what is hardly visible may be what is meant': (changed(BLUE, visible=0.2), 'leftmost mug'),
    'what is partly hidden may be of any size': (changed(BLUE, visible=0.5), 'largest mug'),
}


@pytest.mark.parametrize(('puts', 'phrase'), DOUBTS.values(), ids=DOUBTS)
def test_nothing_is_asked_where_people_could_differ(puts: tuple[Put, ...], phrase: str) -> None:
    assert phrase not in meanings(ask(*puts, seeds=40))


def test_same_seed_asks_the_same() -> None:
    view = look_at(*TABLE)
    assert questions(view, Random(3), 'train', 8) == questions(view, Random(3), 'train', 8)
    assert questions(view, Random(3), 'train', 8) != questions(view, Random(4), 'train', 8)


def test_nothing_is_asked_of_an_empty_table() -> None:
    assert questions(look_at(), Random(0), 'train', 8) == []
