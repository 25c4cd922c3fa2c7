"""Phrases to look for, from the phrase of a correct answer."""

from __future__ import annotations

import pytest

from instructsam_training.tabletop.language.nouns import USES
from instructsam_training.tabletop.language.wordings import PHRASES
from instructsam_training.tabletop.oracle.phrases import EVERYTHING, search_phrases
from instructsam_training.tabletop.scene.catalog import CATALOG

SLOTS = {
    's': 'red wooden boxes', 'many': 'red wooden boxes', 'a': 'blue mug', 'n': 'two', 'nth': 'third',
    'side': 'left', 'x': 'largest', 'not': 'knives',
}  # fmt: skip


@pytest.mark.parametrize(
    ('answer', 'phrases'),
    [
        ('blue mug', ('blue mug', 'blue mugs', 'mugs', 'things')),
        ('leftmost mug', ('mugs', 'mug', 'things')),
        ('mugs but not red', ('mugs', 'mug', 'things')),
        ('things but not books', ('things', 'thing')),
        ('tool for nails', ('hammers', 'hammer', 'things')),
        ('thing to drink from', ('cans', 'mugs', 'cups', 'bottles', 'things')),
        # One phrase must find all targets.
        ('red mug, red bowls', ('red things', 'red thing', 'things')),
        ('hammer, blue can', ('things', 'thing')),
    ],
)
def test_phrases_become_more_general(answer: str, phrases: tuple[str, ...]) -> None:
    assert search_phrases(answer) == phrases


def test_every_construction_is_understood() -> None:
    for construction, template in PHRASES.items():
        if construction != 'use':
            found = search_phrases(template.format(**SLOTS))
            expected = 'red wooden boxes' if '{s}' in template or '{many}' in template else EVERYTHING
            assert found[0] == expected, construction
            assert EVERYTHING in found
    for use in USES:
        first = search_phrases(use.phrase)[0]
        assert first in {CATALOG[category].plural for category in use.categories}


def test_other_phrases_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected a phrase of the tabletop such as .*, got 'red dragons'"):
        search_phrases('red dragons')
