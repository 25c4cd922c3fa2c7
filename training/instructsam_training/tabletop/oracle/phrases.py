"""Concept phrases with which SAM3 can be asked for the candidates of a question about a tabletop."""

from __future__ import annotations

import re
from functools import cache

from instructsam_training.tabletop.language.nouns import ADJECTIVES, ANYTHING, GROUPS, USES, Noun
from instructsam_training.tabletop.language.query_builders import NUMBERS, ORDINALS
from instructsam_training.tabletop.language.wordings import PHRASES
from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, MATERIALS

EVERYTHING = Noun(ANYTHING).words(plural=True)
"""Phrase for all objects."""
SEPARATOR = ', '
"""Between the phrases of an answer that has several."""


def search_phrases(answer: str) -> tuple[str, ...]:
    """Return phrases to look for, the most specific first; the last one is that for all objects.

    SAM3 knows names, not relations: 'leftmost red mug' becomes 'red mugs', then 'red mug', 'mugs' and 'things'. One
    call must find all targets, because its masks replace those of earlier calls; of several names, only what they share
    is left.

    Args:
        answer: phrase of a correct answer, as in the data set.

    Raises:
        ValueError: it is no phrase of the tabletop.
    """
    parts = [_nouns_of(part) for part in answer.split(SEPARATOR)]
    if len(parts) > 1:
        shared = _shared([noun for nouns in parts for noun in nouns])
        found = [shared.words(plural=True), shared.words(plural=False)]
    elif len(parts[0]) > 1:
        found = [noun.words(plural=True) for noun in parts[0]]
    else:
        [noun] = parts[0]
        # A name that is the whole answer has the right number already; candidates of all others are several.
        is_name = answer == noun.words(plural=False)
        found = [noun.words(plural=not is_name), noun.words(plural=is_name), noun.bare.words(plural=True)]
    return tuple(dict.fromkeys([*found, EVERYTHING]))


def _nouns_of(phrase: str) -> list[Noun]:
    """Return the names of the candidates of a phrase: one, or one for each category with a use."""
    use = next((use for use in USES if use.phrase == phrase), None)
    if use is not None:
        # In the order of the catalog, because a set has none.
        return [Noun(category) for category in CATALOG if category in use.categories]
    for pattern in _patterns():
        found = pattern.fullmatch(phrase)
        # 'things but not books' names all things without a slot for them.
        noun = found and _parse(found.groupdict().get('noun', ANYTHING))
        if noun:
            return [noun]
    raise ValueError(f'expected a phrase of the tabletop such as "leftmost red mug", got {phrase!r}')


def _shared(nouns: list[Noun]) -> Noun:
    """Return the most specific name that all names have in common."""
    heads, colors, materials = ({getattr(noun, name) for noun in nouns} for name in ('head', 'color', 'material'))
    return Noun(
        heads.pop() if len(heads) == 1 else ANYTHING,
        colors.pop() if len(colors) == 1 else '',
        materials.pop() if len(materials) == 1 else '',
    )


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return the phrases of the answers as patterns, those with the most words of their own first."""
    number, rank = '|'.join(NUMBERS[1:]), '|'.join(filter(None, ORDINALS))
    slots = {'a': '.+', 'x': '.+', 'not': '.+', 'n': f'(?:{number})', 'nth': f'(?:{rank})', 'side': '(?:left|right)'}
    templates = {template for construction, template in PHRASES.items() if construction != 'use'}
    ranked = sorted(templates, key=lambda template: (-len(re.sub(r'{\w+}', '', template)), template))
    # All other slots are names of the candidates.
    return tuple(
        re.compile(re.sub(r'\\{(\w+)\\}', lambda slot: slots.get(slot[1], '(?P<noun>.+)'), re.escape(template)))
        for template in ranked
    )


def _parse(words: str) -> Noun | None:
    """Return the noun that is written like this in singular or plural; None if there is none."""
    *adjectives, head = words.split()
    heads = {name: name for name in (*CATALOG, *GROUPS, ANYTHING)}
    heads |= {Noun(name).words(plural=True): name for name in heads}
    materials = {ADJECTIVES.get(material, material): material for material in MATERIALS}
    color = next((word for word in adjectives if word in COLORS), '')
    material = next((materials[word] for word in adjectives if word in materials), '')
    if head not in heads or len(adjectives) != bool(color) + bool(material):
        return None
    return Noun(heads[head], color, material)
