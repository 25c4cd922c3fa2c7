"""`names`: what a view can be asked for by name alone, as SAM3 is pretrained: "things", "red mug", "gray thing"."""

from __future__ import annotations

from random import Random

from instructsam_training.tabletop.language.instructions import Part, answer
from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.scene_layout import Layout
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS
from instructsam_training.tabletop.scene.ground_truth import View

ABSENT_SHARE = 0.25
"""Share of the names that nothing in the picture has."""


def names(view: View, rng: Random, count: int) -> list[Part]:
    """Up to `count` different names with the things that have them, or with none; the first is that of all things.

    Args:
        view: the picture and its facts.
        rng: decides which.
        count: at most so many.
    """
    layout = Layout(view)
    present = [noun for thing in layout.clear for noun in _names_of(thing.category, thing.color)]
    absent = [_absent(layout, rng) for _ in range(round(ABSENT_SHARE * count))] if present else []
    rng.shuffle(present)
    kept: dict[Noun, Part] = {}
    for noun in [Noun(ANYTHING), *absent, *present]:
        targets = answer(lambda thing, _: noun.fits(thing), layout)  # noqa: B023  (called before the next noun)
        if targets is not None and len(kept) < count:
            phrase = noun.words(plural=len(targets) > 1)
            kept.setdefault(noun, Part(phrase, tuple(thing.label for thing in targets)))
    return list(kept.values())


def _names_of(category: str, color: str) -> tuple[Noun, ...]:
    return Noun(category), Noun(category, color), Noun(category, color), Noun(ANYTHING, color)


def _absent(layout: Layout, rng: Random) -> Noun:
    """A name that nothing may have: often one that shares its category or color with a thing."""
    thing = rng.choice(layout.clear)
    category, color = rng.choice(tuple(CATALOG)), rng.choice(tuple(COLORS))
    return rng.choice((Noun(thing.category, color), Noun(category, thing.color), Noun(category)))
