"""`Request`: something that can be asked about a view, and which things it means, before it has words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.scene_layout import Layout
from instructsam_training.tabletop.language.ternary_logic import Verdict, conjunction, fewer_than, negation
from instructsam_training.tabletop.scene.ground_truth import Thing

Kind = Literal[
    'category', 'attribute', 'size', 'relation', 'ordering', 'counting', 'exclusion', 'function', 'several', 'none'
]
Meaning = Callable[[Thing, Sequence[Thing]], Verdict]
"""Whether a thing is meant, were the given ones all there are."""
Beats = Callable[[Thing, Thing], Verdict]


@dataclass(frozen=True)
class Request:
    """One way to ask for things.

    Attributes:
        construction: its key in `wordings`.
        meaning: which things are meant.
        noun: what they are called, in those constructions that name them.
        slots: what else its wordings need.
        count: how many are meant; None for any number.
        wider: what is true of the things meant and, in a question worth asking, of others as well.
        is_plural: spoken of as several, however many there are.
    """

    construction: str
    meaning: Meaning
    noun: Noun = field(default=Noun(ANYTHING))
    slots: Mapping[str, str] = field(default_factory=dict)
    count: int | None = None
    wider: Meaning | None = None
    is_plural: bool = False


def contests(layout: Layout) -> dict[str, Beats]:
    """For each extreme, whether the first of two things is more so than the second."""
    return {
        'largest': layout.is_larger,
        'smallest': lambda thing, other: layout.is_larger(other, thing),
        'tallest': layout.is_taller,
        'shortest': layout.is_shorter,
        'leftmost': layout.is_left,
        'rightmost': lambda thing, other: layout.is_left(other, thing),
        'nearest': layout.is_nearer,
        'furthest': lambda thing, other: layout.is_nearer(other, thing),
    }


def rank_below(limit: int, members: Meaning, beats: Beats) -> Meaning:
    """Members that fewer than `limit` other members beat."""

    def meaning(thing: Thing, universe: Sequence[Thing]) -> Verdict:
        is_member = members(thing, universe)
        if is_member is False:
            return False
        rivals = [(other, members(other, universe)) for other in universe if other is not thing]
        wins = (conjunction(is_rival, beats(other, thing)) for other, is_rival in rivals if is_rival is not False)
        return conjunction(is_member, fewer_than(limit, wins))

    return meaning


def fits(noun: Noun) -> Meaning:
    """Everything that has this name."""
    return lambda thing, _: noun.fits(thing)


def without(noun: Noun, left_out: Meaning) -> Meaning:
    """Everything that has this name, but what is left out."""
    return lambda thing, universe: conjunction(noun.fits(thing), negation(left_out(thing, universe)))
