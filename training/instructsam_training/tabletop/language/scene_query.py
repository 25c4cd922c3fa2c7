"""`SceneQuery`: a query for objects of a view, before it is put into words, and the predicates it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.language.ternary_logic import Ternary, fewer_than, logical_and, logical_not
from instructsam_training.tabletop.scene.ground_truth import SceneObject

QueryKind = Literal[
    'category', 'attribute', 'size', 'relation', 'ordering', 'counting', 'exclusion', 'function', 'several', 'none'
]
Predicate = Callable[[SceneObject, Sequence[SceneObject]], Ternary]
"""Whether an object is a target, if the given objects are all there are."""
Comparison = Callable[[SceneObject, SceneObject], Ternary]
"""Whether the first object is more extreme than the second."""


@dataclass(frozen=True)
class SceneQuery:
    """A query for objects.

    Attributes:
        construction: key of `wordings.WORDINGS`.
        predicate: selects the targets.
        noun: name of the targets, in constructions that have one.
        slots: values of the other slots of the wording.
        count: required number of targets; None for any number.
        superset: predicate that the targets share with other objects; without others the query would be trivial.
        is_plural: use the plural whatever the number of targets.
        with_noun: returns the same query with another name of the targets, or None if there are too few of that name;
            None for constructions without a name.
    """

    construction: str
    predicate: Predicate
    noun: Noun = field(default=Noun(ANYTHING))
    slots: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    superset: Predicate | None = None
    is_plural: bool = False
    with_noun: Callable[[Noun], SceneQuery | None] | None = None


def extreme_comparisons(layout: SceneLayout) -> dict[str, Comparison]:
    """Return the comparison behind each superlative."""
    return {
        'largest': layout.is_larger,
        'smallest': lambda obj, other: layout.is_larger(other, obj),
        'tallest': layout.is_taller,
        'shortest': layout.is_shorter,
        'leftmost': layout.is_left,
        'rightmost': lambda obj, other: layout.is_left(other, obj),
        'nearest': layout.is_nearer,
        'furthest': lambda obj, other: layout.is_nearer(other, obj),
    }


def top_ranked(limit: int, members: Predicate, outranks: Comparison) -> Predicate:
    """Select the `limit` highest-ranked members: those outranked by fewer than `limit` others."""

    def predicate(obj: SceneObject, universe: Sequence[SceneObject]) -> Ternary:
        is_member = members(obj, universe)
        if is_member is False:
            return False
        # An object that may be a member makes the result unknown only if it may also outrank this one.
        rivals = [(other, members(other, universe)) for other in universe if other is not obj]
        wins = (logical_and(is_rival, outranks(other, obj)) for other, is_rival in rivals if is_rival is not False)
        return logical_and(is_member, fewer_than(limit, wins))

    return predicate


def matching(noun: Noun) -> Predicate:
    """Select all objects of a name."""
    return lambda obj, _: noun.matches(obj)


def matching_except(noun: Noun, excluded: Predicate) -> Predicate:
    """Select all objects of a name but the excluded ones."""
    return lambda obj, universe: logical_and(noun.matches(obj), logical_not(excluded(obj, universe)))
