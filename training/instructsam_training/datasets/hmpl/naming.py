"""Whether a text names a thing, by its words."""

from __future__ import annotations

import re
from collections.abc import Iterable

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
"""A word, with a part after an apostrophe."""


def names_any(text: str, names: Iterable[str]) -> bool:
    """Return whether a text contains one of some names as whole words, in singular or plural.

    "mugs" names a mug, "cupboard" does not name a cup. Synonyms and irregular plurals have to be among the names.
    """
    words = [_singular(word) for word in _words(text)]
    return any(_contains(words, [_singular(word) for word in _words(name)]) for name in names)


def _words(text: str) -> list[str]:
    # Names of data sets have underscores: "coffee_cup".
    return WORD.findall(text.replace('_', ' ').casefold())


def _contains(words: list[str], part: list[str]) -> bool:
    return bool(part) and any(words[start : start + len(part)] == part for start in range(len(words) - len(part) + 1))


def _singular(word: str) -> str:
    """Return a form that singular and regular plural share; it need not be a word."""
    word = word.removesuffix("'s")
    if len(word) > 3 and word.endswith('s') and not word.endswith('ss'):
        word = word[:-1]
    # box, boxes; glass, glasses; the rest of "berries" and "berry" differs in i and y.
    if len(word) > 3 and word.endswith('e') and word[-2] in 'sxzh':
        word = word[:-1]
    return word[:-2] + 'y' if len(word) > 4 and word.endswith('ie') else word
