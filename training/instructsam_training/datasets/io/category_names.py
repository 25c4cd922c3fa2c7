"""Spoken names of categories: the phrases that the model is asked about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from instructsam_training.data.sample import clean_phrase
from instructsam_training.datasets.io.files import text_of

SpokenName = Callable[[Mapping[str, Any]], str]
"""Returns the spoken name of a category, an entry of `categories` in a COCO file."""
WORD_SENSE = re.compile(r'_\([^)]*\)')
"""The part of a name of LVIS that tells homonyms apart."""


def plain_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of a category: 'bow' for `bow_(weapon)`, 'cabinet or shelf' for `Cabinet/shelf`.

    Raises:
        ValueError: the category has no name.
    """
    name = WORD_SENSE.sub('', text_of(category, 'name')).replace('_', ' ').replace('/', ' or ')
    if not clean_phrase(name):
        raise ValueError(f'expected a name, got {category["name"]!r}')
    return ' '.join(name.split()).lower()


def part_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of an object or part: 'the cap of the bottle' for `bottle:cap`.

    Raises:
        ValueError: the category has no name.
    """
    # PACO and Pascal-Part join object and part by a colon.
    whole, colon, part = plain_name(category).partition(':')
    return f'the {part.strip()} of the {whole.strip()}' if colon else whole


def super_part_name(category: Mapping[str, Any]) -> str:
    """Return the spoken name of a part: 'the head of the quadruped' for `Quadruped Head` of supercategory `Quadruped`.

    Raises:
        ValueError: the category has no name.
    """
    name = plain_name(category)
    # PartImageNet: the name of a part begins with that of its object.
    whole = str(category.get('supercategory') or name.partition(' ')[0]).lower()
    part = name.removeprefix(whole).strip()
    return f'the {part} of the {whole}' if part and part != name else name
