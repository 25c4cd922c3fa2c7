"""`Caption`: questions about a view with answers in words, which teach the language model to perceive images.

No question begins like an instruction, so that the two tasks are not confused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal, get_args

from instructsam_training.tabletop.language.instructions import find_targets, sample_plural, sample_unambiguous_query
from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.phrasing import answer_phrase
from instructsam_training.tabletop.language.query_builders import NUMBERS
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.scene_query import QueryKind, SceneQuery, matching
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView

CaptionKind = Literal['place', 'list', 'order', 'name', 'count', 'exists', 'color', 'material', 'side']
NAMED_KINDS: tuple[QueryKind, ...] = (
    'category',
    'attribute',
    'size',
    'relation',
    'ordering',
    'counting',
    'exclusion',
    'function',
)
"""Kinds of queries whose targets can be listed by name."""
NO_LOCATION = 'nowhere'
MAX_TRIES = 10
MAX_LISTED = 6
MAX_LOCATED = 4
MIDDLE_RANGE = (0.4, 0.6)
SIDE_LIMITS = (0.33, 0.67)
"""Fractions of the image width: within the first range is the middle, outside of the second is left or right."""


@dataclass(frozen=True)
class Caption:
    """One question with its answer in words.

    Attributes:
        kind: subject of the question.
        question: a sentence.
        answer: a few words.
    """

    kind: CaptionKind
    question: str
    answer: str


def sample_captions(view: SceneView, rng: Random, count: int) -> list[Caption]:
    """Sample up to `count` different questions with unambiguous answers.

    Every other question asks for locations, in Qwen3-VL's form: the mask queries need to know locations.
    """
    layout = SceneLayout(view)
    if not layout.clearly_visible:
        return []
    kinds: list[CaptionKind] = [kind for kind in get_args(CaptionKind) if kind != 'place']
    rng.shuffle(kinds)
    made: dict[str, Caption] = {}
    for turn in range(2 * count):
        kind: CaptionKind = kinds[turn // 2 % len(kinds)] if turn % 2 else 'place'
        # Every other turn asks for locations, the others cycle through the kinds.
        tried = (_SAMPLERS[kind](layout, view, rng) for _ in range(MAX_TRIES))
        found = next((each for each in tried if each is not None), None)
        if found is not None and len(made) < count:
            made.setdefault(found[0], Caption(kind, *found))
    return list(made.values())


QuestionAnswer = tuple[str, str] | None


def _locations(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    found = sample_unambiguous_query(rng.choice((*NAMED_KINDS, 'none')), layout, rng)
    if found is None or len(found[1]) > MAX_LOCATED:
        return None
    # No target gives the answer 'nowhere'.
    locations = ', '.join(_center_percent(obj, view) for obj in sorted(found[1], key=_center_x))
    return f'Locate the {_phrase(*found, rng)}.', locations or NO_LOCATION


def _list(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    if len(layout.clearly_visible) > MAX_LISTED:
        return None
    return rng.choice(('List all things.', 'List what you see.')), _names(layout.clearly_visible)


def _order(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    noun = Noun(rng.choice((ANYTHING, rng.choice(layout.clearly_visible).category)))
    members = sorted(find_targets(matching(noun), layout) or (), key=_center_x)
    if not 2 <= len(members) <= MAX_LISTED:
        return None
    # The order must be beyond doubt for all neighbors.
    if any(layout.is_left(*pair) is not True for pair in pairwise(members)):
        return None
    many = noun.words(plural=True)
    if rng.random() < 0.5:
        return f'List the {many} from left to right.', _names(members)
    return f'List the {many} from right to left.', ', '.join(map(_name, reversed(members)))


def _name_them(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    found = sample_unambiguous_query(rng.choice(NAMED_KINDS), layout, rng)
    if found is None or len(found[1]) > MAX_LISTED:
        return None
    phrase, answered = _phrase(*found, rng), _names(found[1])
    # "Name the red mug" would answer itself.
    return None if phrase == answered else (f'Name the {phrase}.', answered)


def _count(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    obj = rng.choice(layout.clearly_visible)
    # A random category, so that "none" is an answer too.
    absent = Noun(rng.choice(tuple(CATALOG)))
    noun = rng.choice((Noun(obj.category), Noun(ANYTHING, obj.color), Noun(ANYTHING), absent))
    members = find_targets(matching(noun), layout)
    if members is None or len(members) >= len(NUMBERS):
        return None
    return f'How many {noun.words(plural=True)} are there?', NUMBERS[len(members)]


def _exists(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    is_there = rng.random() < 0.5
    found = sample_unambiguous_query(rng.choice(('attribute', 'relation', 'size')) if is_there else 'none', layout, rng)
    if found is None or found[0].is_plural or len(found[1]) > 1:
        return None
    return f'Is there a {answer_phrase(found[0], is_plural=False)}?', 'yes' if is_there else 'no'


def _color(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    found = _sample_single_target(layout, rng)
    return found and (f'Say the color of the {found[0]}.', found[1].color)


def _material(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    found = _sample_single_target(layout, rng)
    if found is None or len(CATALOG[found[1].category].materials) < 2:
        return None
    return f'Say what the {found[0]} is made of.', found[1].material


def _side(layout: SceneLayout, view: SceneView, rng: Random) -> QuestionAnswer:
    found = _sample_single_target(layout, rng)
    if found is None:
        return None
    # Between middle and side nothing is asked: the answer would be arguable.
    share = _center_x(found[1]) / view.labels.shape[1]
    if MIDDLE_RANGE[0] <= share <= MIDDLE_RANGE[1]:
        side = 'middle'
    elif not SIDE_LIMITS[0] < share < SIDE_LIMITS[1]:
        side = 'left' if share < SIDE_LIMITS[0] else 'right'
    else:
        return None
    return f'On which side is the {found[0]}?', side


_SAMPLERS: dict[CaptionKind, Callable[[SceneLayout, SceneView, Random], QuestionAnswer]] = {
    'place': _locations,
    'list': _list,
    'order': _order,
    'name': _name_them,
    'count': _count,
    'exists': _exists,
    'color': _color,
    'material': _material,
    'side': _side,
}


def _sample_single_target(layout: SceneLayout, rng: Random) -> tuple[str, SceneObject] | None:
    """Sample a phrase with a single target and without color and material; return it with the target."""
    found = sample_unambiguous_query(rng.choice(('category', 'size', 'relation', 'ordering')), layout, rng)
    if found is None or len(found[1]) != 1 or found[0].is_plural or found[0].noun.attributes:
        return None
    return _phrase(*found, rng), found[1][0]


def _phrase(query: SceneQuery, objects: tuple[SceneObject, ...], rng: Random) -> str:
    return answer_phrase(query, is_plural=sample_plural(query, objects, rng))


def _names(objects: Iterable[SceneObject]) -> str:
    """Names of objects, from left to right."""
    return ', '.join(map(_name, sorted(objects, key=_center_x)))


def _name(obj: SceneObject) -> str:
    return Noun(obj.category, obj.color).words(plural=False)


def _center_x(obj: SceneObject) -> float:
    return (obj.box_xyxy[0] + obj.box_xyxy[2]) / 2


def _center_percent(obj: SceneObject, view: SceneView) -> str:
    """Center of the object's box, in percent of the image's width and height."""
    x1, y1, x2, y2 = obj.box_xyxy
    height, width = view.labels.shape
    return f'{50 * (x1 + x2) // width} {50 * (y1 + y2) // height}'
