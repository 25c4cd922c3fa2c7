"""`SAMPLERS`: functions that sample a query of a kind, or None if the view has no objects for one.

Whether its targets are unambiguous is decided by `instructions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import get_args

from instructsam_training.tabletop.language.nouns import ANYTHING, GROUPS, USES, Noun
from instructsam_training.tabletop.language.query_builders import (
    attribute_query,
    category_query,
    closest_query,
    colored_query,
    count_members,
    extremes_query,
    number_query,
    ordinal_query,
    relative_query,
    superlative_query,
    use_query,
)
from instructsam_training.tabletop.language.scene_layout import Relation, SceneLayout
from instructsam_training.tabletop.language.scene_query import (
    QueryKind,
    SceneQuery,
    extreme_comparisons,
    matching,
    matching_except,
    top_ranked,
)
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import SceneObject

MAX_COUNTED = 4
QuerySampler = Callable[[SceneLayout, Random], SceneQuery | None]


def sample_category(layout: SceneLayout, rng: Random) -> SceneQuery:
    """Sample a query for all objects of a category or group, or for the only one."""
    # A category with a single object is mostly asked for as "the mug", sometimes as "all mugs".
    noun = _sample_head(layout, rng, groups=0.15)
    return category_query(noun, rng.random() < (0.25 if count_members(noun, layout) == 1 else 1.0))


def sample_attribute(layout: SceneLayout, rng: Random) -> SceneQuery:
    """Sample a query for objects of a color, of a category and color, or of a category and material."""
    obj = rng.choice(layout.clearly_visible)
    if rng.random() < 0.25:
        return colored_query(Noun(ANYTHING, obj.color))
    # The material is only mentioned if the category has several.
    materials = CATALOG[obj.category].materials
    material = obj.material if len(materials) > 1 and rng.random() < 0.35 else ''
    color = obj.color if not material or rng.random() < 0.2 else ''
    return attribute_query(Noun(obj.category, color, material))


def sample_size(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for the object of extreme size or height, or for objects that exceed another."""
    if rng.random() < 0.6:
        superlative = ('largest', 'smallest', 'tallest', 'shortest')
        return superlative_query(_sample_noun(layout, rng), rng.choice(superlative), layout)
    return sample_comparison(layout, rng)


def sample_comparison(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for objects larger, smaller, taller or shorter than another."""
    anchor = _sample_anchor(layout, rng, rng.choice(layout.clearly_visible))
    if anchor is None:
        return None
    construction = rng.choice(('larger', 'smaller', 'taller', 'shorter'))
    outranks = extreme_comparisons(layout)[
        {'larger': 'largest', 'smaller': 'smallest', 'taller': 'tallest', 'shorter': 'shortest'}[construction]
    ]
    return relative_query(construction, _sample_noun(layout, rng), anchor, lambda obj: outranks(obj, anchor[0]))


def sample_relation(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for objects left of, right of, in front of, behind, on, inside or next to another."""
    # 'on' and 'inside' are rarer than the others and fail more often, so they are sampled twice as often.
    relation: Relation = rng.choice((*get_args(Relation), 'on', 'inside'))
    candidates = [obj for obj in layout.clearly_visible if _can_be_anchor(obj, relation)]
    anchor = _sample_anchor(layout, rng, rng.choice(candidates)) if candidates else None
    if anchor is None:
        return None
    return relative_query(
        relation, _sample_noun(layout, rng), anchor, lambda obj: layout.holds(relation, obj, anchor[0])
    )


def sample_ordering(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for the first, second or third of a row, or for the object closest to another."""
    noun, draw = _sample_noun(layout, rng), rng.random()
    if draw < 0.65:
        return superlative_query(noun, rng.choice(('leftmost', 'rightmost', 'nearest', 'furthest')), layout)
    if draw < 0.85:
        return sample_ordinal(layout, rng)
    anchor = _sample_anchor(layout, rng, rng.choice(layout.clearly_visible))
    if anchor is None:
        return None
    return closest_query(noun, anchor, layout)


def sample_ordinal(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for the second or third object from the left or right."""
    noun, rank, side = _sample_noun(layout, rng), rng.choice((2, 2, 3)), rng.choice(('left', 'right'))
    return ordinal_query(noun, rank, side, layout)


def sample_counting(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for a number of objects: all of a name, or the most extreme ones."""
    noun = _sample_noun(layout, rng)
    members = count_members(noun, layout)
    if rng.random() < 0.3 and noun.head != ANYTHING and 2 <= members <= MAX_COUNTED:
        # All objects of the name: "the three mugs"; else a number of extreme ones: "the two largest mugs".
        return number_query(noun, members)
    if members < 3:
        return None
    count = rng.randint(2, min(members - 1, MAX_COUNTED))
    superlative = rng.choice(('largest', 'smallest', 'leftmost', 'rightmost', 'nearest'))
    return extremes_query(noun, count, superlative, layout)


def sample_exclusion(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for all objects of a name but some."""
    draw, obj = rng.random(), rng.choice(layout.clearly_visible)
    if draw < 0.4:
        excluded = _sample_head(layout, rng, groups=0.3) if rng.random() < 0.5 else Noun(obj.category, obj.color)
        # All objects except those of a name.
        is_plural = count_members(excluded, layout) > 1
        return SceneQuery(
            'all but',
            matching_except(Noun(ANYTHING), matching(excluded)),
            slots={'not': excluded.words(plural=is_plural)},
            is_plural=True,
        )
    noun = Noun(obj.category)
    members = count_members(noun, layout)
    if members < 2:
        return None
    if draw < 0.75 and members > 2:
        superlative = rng.choice(('largest', 'smallest', 'leftmost', 'rightmost', 'nearest'))
        # All objects of a category except the extreme one.
        extreme = top_ranked(1, matching(noun), extreme_comparisons(layout)[superlative])
        predicate = matching_except(noun, extreme)
        return SceneQuery('but most', predicate, noun, {'x': superlative}, members - 1, is_plural=True)
    excluded = Noun(obj.category, obj.color)
    # All objects of a category except those of a color.
    slots = {'x': excluded.attributes, 'ones': 'one' if count_members(excluded, layout) == 1 else 'ones'}
    return SceneQuery('but such', matching_except(noun, matching(excluded)), noun, slots, is_plural=True)


def sample_function(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for objects of a use."""
    obj = rng.choice(layout.clearly_visible)
    return _use_query([index for index, use in enumerate(USES) if use.matches(obj)], rng)


def sample_absent_attribute(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for a category of the view, in a color of another object."""
    obj, other = rng.choice(layout.clearly_visible), rng.choice(layout.clearly_visible)
    return attribute_query(Noun(obj.category, other.color))


def sample_absent_category(layout: SceneLayout, rng: Random) -> SceneQuery:
    """Sample a query for any category of the catalog."""
    return category_query(Noun(rng.choice(tuple(CATALOG))), rng.random() < 0.5)


def sample_absent_use(layout: SceneLayout, rng: Random) -> SceneQuery | None:
    """Sample a query for any use."""
    return _use_query(range(len(USES)), rng)


SAMPLERS: dict[QueryKind, tuple[QuerySampler, ...]] = {
    'category': (sample_category,),
    'attribute': (sample_attribute,),
    'size': (sample_size,),
    'relation': (sample_relation,),
    'ordering': (sample_ordering,),
    'counting': (sample_counting,),
    'exclusion': (sample_exclusion,),
    'function': (sample_function,),
    'none': (
        sample_absent_attribute,
        sample_absent_attribute,
        sample_absent_category,
        sample_absent_use,
        sample_relation,
        sample_relation,
        sample_relation,
        sample_comparison,
        sample_ordinal,
    ),
}
"""Samplers of each kind but 'several', which combines others; those of 'none' may or may not have targets."""


def _use_query(choices: Sequence[int], rng: Random) -> SceneQuery | None:
    if not choices:
        return None
    return use_query(USES[rng.choice(choices)])


def _sample_head(layout: SceneLayout, rng: Random, groups: float) -> Noun:
    """Sample the category of an object; with probability `groups` its group."""
    obj = rng.choice(layout.clearly_visible)
    # Arguable members do not count: a knife is not asked for as a tool.
    heads = [head for head, (members, _) in GROUPS.items() if obj.category in members]
    return Noun(heads[0] if heads and rng.random() < groups else obj.category)


def _sample_noun(layout: SceneLayout, rng: Random) -> Noun:
    """Sample a noun that matches an object of the view: any object, its category, its color, or both."""
    obj = rng.choice(layout.clearly_visible)
    head = ANYTHING if rng.random() < 0.35 else obj.category
    return Noun(head, obj.color if rng.random() < 0.2 else '')


def _sample_anchor(layout: SceneLayout, rng: Random, obj: SceneObject) -> tuple[SceneObject, str] | None:
    """Return an object with its shortest unique name, or sometimes the next longer one; None if it has none."""
    nouns = [
        Noun(obj.category),
        Noun(obj.category, obj.color),
        Noun(obj.category, obj.color, obj.material if len(CATALOG[obj.category].materials) > 1 else ''),
    ]
    # A name is unique if it certainly does not match any other object, even a hardly visible one.
    unique = [noun for noun in nouns if [each for each in layout.objects if noun.matches(each) is not False] == [obj]]
    if not unique:
        return None
    return obj, unique[min(int(rng.random() < 0.3), len(unique) - 1)].words(plural=False)


def _can_be_anchor(obj: SceneObject, relation: Relation) -> bool:
    category = CATALOG[obj.category]
    return {'on': category.flat_top, 'inside': category.is_container}.get(relation, True)
