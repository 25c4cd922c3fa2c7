"""`sample_names`: names of objects as open-vocabulary phrases, the form that SAM3 is pretrained on: 'red mug'."""

from __future__ import annotations

from random import Random

from instructsam_training.tabletop.language.instructions import GroundedPhrase, find_targets
from instructsam_training.tabletop.language.nouns import ANYTHING, Noun
from instructsam_training.tabletop.language.scene_layout import SceneLayout
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS
from instructsam_training.tabletop.scene.ground_truth import SceneView

ABSENT_FRACTION = 0.25
"""Fraction of names that may have no target."""


def sample_names(view: SceneView, rng: Random, count: int) -> list[GroundedPhrase]:
    """Sample different names with their targets; the first is the name of all objects.

    Args:
        view: the image with its ground truth.
        rng: source of randomness.
        count: largest number of names.
    """
    layout = SceneLayout(view)
    present = [noun for obj in layout.clearly_visible for noun in _names_of(obj.category, obj.color)]
    # Sampled whatever the objects; some of them have targets after all.
    absent = [_sample_absent(layout, rng) for _ in range(round(ABSENT_FRACTION * count))] if present else []
    rng.shuffle(present)
    phrases: dict[Noun, GroundedPhrase] = {}
    for noun in [Noun(ANYTHING), *absent, *present]:
        targets = find_targets(lambda obj, _: noun.matches(obj), layout)  # noqa: B023  (called before the next noun)
        if targets is not None and len(phrases) < count:
            phrase = noun.words(plural=len(targets) > 1)
            phrases.setdefault(noun, GroundedPhrase(phrase, tuple(obj.label for obj in targets)))
    return list(phrases.values())


def _names_of(category: str, color: str) -> tuple[Noun, ...]:
    # The name with color is listed twice, to be sampled twice as often.
    return Noun(category), Noun(category, color), Noun(category, color), Noun(ANYTHING, color)


def _sample_absent(layout: SceneLayout, rng: Random) -> Noun:
    """Sample a name that is probably absent; it often shares its category or color with an object of the view."""
    obj = rng.choice(layout.clearly_visible)
    category, color = rng.choice(tuple(CATALOG)), rng.choice(tuple(COLORS))
    return rng.choice((Noun(obj.category, color), Noun(category, obj.color), Noun(category)))
