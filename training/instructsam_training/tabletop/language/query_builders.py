"""Builders of scene queries: each returns the query of a construction about the objects of a name.

A query knows how to be built again with another name (`SceneQuery.with_noun`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from instructsam_training.tabletop.language.nouns import Noun, Use
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.scene_query import (
    SceneQuery,
    extreme_comparisons,
    matching,
    matching_except,
    top_ranked,
)
from instructsam_training.tabletop.language.ternary_logic import Ternary, logical_and, logical_not
from instructsam_training.tabletop.scene.ground_truth import SceneObject

NUMBERS = ('none', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve')
ORDINALS = ('', 'first', 'second', 'third')


def category_query(noun: Noun, all_objects: bool) -> SceneQuery:
    """Return a query for all objects of a name, or for the only one."""
    with_noun = partial(category_query, all_objects=all_objects)
    if all_objects:
        return SceneQuery('all', matching(noun), noun, is_plural=True, with_noun=with_noun)
    return SceneQuery('one', matching(noun), noun, count=1, with_noun=with_noun)


def colored_query(noun: Noun) -> SceneQuery:
    """Return a query for everything of a color."""
    return SceneQuery('anything such', matching(noun), noun, with_noun=attribute_query)


def attribute_query(noun: Noun) -> SceneQuery:
    """Return a query for the objects of a name with color or material."""
    return SceneQuery('such', matching(noun), noun, superset=matching(noun.bare), with_noun=attribute_query)


def use_query(use: Use) -> SceneQuery:
    """Return a query for all objects of a use."""
    return SceneQuery('use', lambda obj, _: use.matches(obj), slots={'use': use.phrase})


def superlative_query(noun: Noun, superlative: str, layout: SceneLayout) -> SceneQuery | None:
    """Return a query for the most extreme object of a name; None if there are fewer than two."""
    if count_members(noun, layout) < 2:
        return None
    predicate = top_ranked(1, matching(noun), extreme_comparisons(layout)[superlative])
    with_noun = partial(superlative_query, superlative=superlative, layout=layout)
    return SceneQuery(superlative, predicate, noun, count=1, superset=matching(noun), with_noun=with_noun)


def closest_query(noun: Noun, anchor: tuple[SceneObject, str], layout: SceneLayout) -> SceneQuery:
    """Return a query for the object of a name that is closest to the anchor."""
    others = matching_except(noun, lambda obj, _: obj is anchor[0])
    # Closest to the anchor, which is no candidate itself.
    closest = top_ranked(1, others, lambda one, other: layout.is_closer(one, other, anchor[0]))
    with_noun = partial(closest_query, anchor=anchor, layout=layout)
    return SceneQuery('closest', closest, noun, {'a': anchor[1]}, count=1, superset=others, with_noun=with_noun)


def ordinal_query(noun: Noun, rank: int, side: str, layout: SceneLayout) -> SceneQuery | None:
    """Return a query for the second or third object of a name in a row; None if there are fewer than two."""
    if count_members(noun, layout) < 2:
        return None
    outranks = extreme_comparisons(layout)[f'{side}most']
    # The n-th is in the top n and not in the top n - 1.
    up_to, before = (top_ranked(limit, matching(noun), outranks) for limit in (rank, rank - 1))
    return SceneQuery(
        'nth',
        lambda obj, universe: logical_and(up_to(obj, universe), logical_not(before(obj, universe))),
        noun,
        {'nth': ORDINALS[rank], 'side': side},
        count=1,
        superset=matching(noun),
        with_noun=partial(ordinal_query, rank=rank, side=side, layout=layout),
    )


def number_query(noun: Noun, members: int) -> SceneQuery:
    """Return a query for all objects of a name, which says how many these are."""
    construction = 'pair' if members == 2 else 'n'
    with_noun = partial(number_query, members=members)
    slots = {'n': NUMBERS[members]}
    return SceneQuery(construction, matching(noun), noun, slots, count=members, with_noun=with_noun)


def extremes_query(noun: Noun, count: int, superlative: str, layout: SceneLayout) -> SceneQuery | None:
    """Return a query for a number of extreme objects of a name; None if there are no others."""
    if count_members(noun, layout) <= count:
        return None
    predicate = top_ranked(count, matching(noun), extreme_comparisons(layout)[superlative])
    with_noun = partial(extremes_query, count=count, superlative=superlative, layout=layout)
    slots = {'n': NUMBERS[count]}
    return SceneQuery(
        f'n {superlative}', predicate, noun, slots, count=count, superset=matching(noun), with_noun=with_noun
    )


def relative_query(
    construction: str, noun: Noun, anchor: tuple[SceneObject, str], holds: Callable[[SceneObject], Ternary]
) -> SceneQuery:
    """Return a query for the objects of a name, except the anchor, for which `holds` is true."""
    others = matching_except(noun, lambda obj, _: obj is anchor[0])

    def predicate(obj: SceneObject, universe: Sequence[SceneObject]) -> Ternary:
        is_other = others(obj, universe)
        return False if is_other is False else logical_and(is_other, holds(obj))

    with_noun = partial(relative_query, construction, anchor=anchor, holds=holds)
    return SceneQuery(construction, predicate, noun, {'a': anchor[1]}, superset=others, with_noun=with_noun)


def count_members(noun: Noun, layout: SceneLayout) -> int:
    """Count the clearly visible objects that a name certainly matches."""
    return sum(noun.matches(obj) is True for obj in layout.clearly_visible)
