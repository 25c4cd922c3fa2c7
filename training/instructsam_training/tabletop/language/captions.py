"""`Caption`: questions about a view whose answers are words, for teaching a language model to see.

None begins like an instruction, so that what is learnt here does not stand in the way there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal, get_args

from instructsam_training.tabletop.language.instructions import answer, is_plural_of, settled
from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.phrasing import phrase_of
from instructsam_training.tabletop.language.query_samplers import NUMBERS
from instructsam_training.tabletop.language.scene_layout import Layout
from instructsam_training.tabletop.language.scene_query import Kind, Request, fits
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import Thing, View

CaptionKind = Literal['place', 'list', 'order', 'name', 'count', 'exists', 'color', 'material', 'side']
NAMED_KINDS: tuple[Kind, ...] = (
    'category',
    'attribute',
    'size',
    'relation',
    'ordering',
    'counting',
    'exclusion',
    'function',
)
"""Requests whose answer can be named."""
NOWHERE = 'nowhere'
TRIES = 10
MOST_LISTED = 6
MOST_PLACED = 4
MIDDLE = (0.4, 0.6)
SIDES = (0.33, 0.67)
"""Shares of the picture's width: between the first it is the middle, beyond the second it is left or right."""


@dataclass(frozen=True)
class Caption:
    """One question and its answer, both words.

    Attributes:
        kind: what the question is about.
        question: a sentence.
        answer: a few words.
    """

    kind: CaptionKind
    question: str
    answer: str


def captions(view: View, rng: Random, count: int) -> list[Caption]:
    """Up to `count` questions about a view, none twice; all are answered beyond doubt.

    Every other one asks for places, as Qwen3-VL has learnt to tell them: it is what the queries will have to know.
    """
    layout = Layout(view)
    if not layout.clear:
        return []
    kinds: list[CaptionKind] = [kind for kind in get_args(CaptionKind) if kind != 'place']
    rng.shuffle(kinds)
    made: dict[str, Caption] = {}
    for turn in range(2 * count):
        kind: CaptionKind = kinds[turn // 2 % len(kinds)] if turn % 2 else 'place'
        tried = (_MAKERS[kind](layout, view, rng) for _ in range(TRIES))
        found = next((each for each in tried if each is not None), None)
        if found is not None and len(made) < count:
            made.setdefault(found[0], Caption(kind, *found))
    return list(made.values())


Made = tuple[str, str] | None


def _place(layout: Layout, view: View, rng: Random) -> Made:
    found = settled(rng.choice((*NAMED_KINDS, 'none')), layout, rng)
    if found is None or len(found[1]) > MOST_PLACED:
        return None
    places = ', '.join(_middle(thing, view) for thing in sorted(found[1], key=_middle_x))
    return f'Locate the {_phrase(*found, rng)}.', places or NOWHERE


def _list(layout: Layout, view: View, rng: Random) -> Made:
    if len(layout.clear) > MOST_LISTED:
        return None
    return rng.choice(('List all things.', 'List what you see.')), _names(layout.clear)


def _order(layout: Layout, view: View, rng: Random) -> Made:
    noun = Noun(rng.choice((ANYTHING, rng.choice(layout.clear).category)))
    members = sorted(answer(fits(noun), layout) or (), key=_middle_x)
    if not 2 <= len(members) <= MOST_LISTED:
        return None
    if any(layout.is_left(*pair) is not True for pair in pairwise(members)):
        return None
    many = noun.words(plural=True)
    if rng.random() < 0.5:
        return f'List the {many} from left to right.', _names(members)
    return f'List the {many} from right to left.', ', '.join(map(_name, reversed(members)))


def _name_them(layout: Layout, view: View, rng: Random) -> Made:
    found = settled(rng.choice(NAMED_KINDS), layout, rng)
    if found is None or len(found[1]) > MOST_LISTED:
        return None
    phrase, answered = _phrase(*found, rng), _names(found[1])
    return None if phrase == answered else (f'Name the {phrase}.', answered)


def _count(layout: Layout, view: View, rng: Random) -> Made:
    thing = rng.choice(layout.clear)
    absent = Noun(rng.choice(tuple(CATALOG)))
    noun = rng.choice((Noun(thing.category), Noun(ANYTHING, thing.color), Noun(ANYTHING), absent))
    members = answer(fits(noun), layout)
    if members is None or len(members) >= len(NUMBERS):
        return None
    return f'How many {noun.words(plural=True)} are there?', NUMBERS[len(members)]


def _exists(layout: Layout, view: View, rng: Random) -> Made:
    is_there = rng.random() < 0.5
    found = settled(rng.choice(('attribute', 'relation', 'size')) if is_there else 'none', layout, rng)
    if found is None or found[0].is_plural or len(found[1]) > 1:
        return None
    return f'Is there a {phrase_of(found[0], is_plural=False)}?', 'yes' if is_there else 'no'


def _color(layout: Layout, view: View, rng: Random) -> Made:
    found = _one(layout, rng)
    return found and (f'Say the color of the {found[0]}.', found[1].color)


def _material(layout: Layout, view: View, rng: Random) -> Made:
    found = _one(layout, rng)
    if found is None or len(CATALOG[found[1].category].materials) < 2:
        return None
    return f'Say what the {found[0]} is made of.', found[1].material


def _side(layout: Layout, view: View, rng: Random) -> Made:
    found = _one(layout, rng)
    if found is None:
        return None
    share = _middle_x(found[1]) / view.labels.shape[1]
    if MIDDLE[0] <= share <= MIDDLE[1]:
        side = 'middle'
    elif not SIDES[0] < share < SIDES[1]:
        side = 'left' if share < SIDES[0] else 'right'
    else:
        return None
    return f'On which side is the {found[0]}?', side


_MAKERS: dict[CaptionKind, Callable[[Layout, View, Random], Made]] = {
    'place': _place,
    'list': _list,
    'order': _order,
    'name': _name_them,
    'count': _count,
    'exists': _exists,
    'color': _color,
    'material': _material,
    'side': _side,
}


def _one(layout: Layout, rng: Random) -> tuple[str, Thing] | None:
    """A phrase that means a single thing, without saying its color or material, and that thing."""
    found = settled(rng.choice(('category', 'size', 'relation', 'ordering')), layout, rng)
    if found is None or len(found[1]) != 1 or found[0].is_plural or found[0].noun.attributes:
        return None
    return _phrase(*found, rng), found[1][0]


def _phrase(request: Request, things: tuple[Thing, ...], rng: Random) -> str:
    return phrase_of(request, is_plural=is_plural_of(request, things, rng))


def _names(things: Iterable[Thing]) -> str:
    """What they are, from left to right."""
    return ', '.join(map(_name, sorted(things, key=_middle_x)))


def _name(thing: Thing) -> str:
    return Noun(thing.category, thing.color).words(plural=False)


def _middle_x(thing: Thing) -> float:
    return (thing.box_xyxy[0] + thing.box_xyxy[2]) / 2


def _middle(thing: Thing, view: View) -> str:
    """Where the middle of its box is, in hundredths of the picture's width and height."""
    x1, y1, x2, y2 = thing.box_xyxy
    height, width = view.labels.shape
    return f'{50 * (x1 + x2) // width} {50 * (y1 + y2) // height}'
