"""`route`: a guess at the level of an instruction, from its words alone. No torch.

SAM3-I is told the level by its caller; neither the paper nor the public code guesses it. The rule follows how the
levels are defined (arXiv 2512.04585): a concept is a noun phrase, a simple instruction names what it asks for, a
complex one does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from instructsam_model.sam3i.levels import Level

MAX_CONCEPT_WORDS = 4
"""Words of a noun phrase, without articles."""
ARTICLES = frozenset(('a', 'an', 'the'))
UNNAMED = frozenset(
    (
        *('anything', 'everything', 'item', 'items', 'object', 'objects', 'one', 'ones', 'something', 'thing'),
        *('things', 'those', 'tool', 'what', 'whatever', 'which', 'who', 'whose', 'someone', 'somebody', 'anyone'),
    )
)
"""Words in place of the name of a thing."""
CONDITIONS = frozenset(
    (
        'because',
        'can',
        'could',
        'if',
        'may',
        'might',
        'must',
        'need',
        'needs',
        'should',
        'want',
        'wants',
        'would',
        'why',
    )
)
"""Words of needs and possibilities, which describe a thing by its use."""
RELATIONS = frozenset(
    (
        *('above', 'at', 'behind', 'below', 'beside', 'between', 'by', 'closest', 'from', 'in', 'inside', 'is', 'are'),
        *('left', 'near', 'nearest', 'next', 'on', 'over', 'right', 'that', 'to', 'under', 'with', 'without', 'and'),
    )
)
"""Words that connect a thing with others, or with a place."""
VERBS = frozenset(('find', 'get', 'give', 'highlight', 'locate', 'pick', 'please', 'segment', 'select', 'show'))
"""Words with which an instruction asks for a thing."""
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def route(text: str, concepts: Sequence[str] = ()) -> Level:
    """Return the level that an instruction seems to have.

    Args:
        text: the instruction.
        concepts: names of the things that are asked for; then a text that contains none of them is complex. Without
            them, a text is complex that has a word such as "something" or "would".
    """
    words = WORD.findall(text.lower())
    content = [word for word in words if word not in ARTICLES]
    is_asking = any(word in UNNAMED or word in CONDITIONS for word in words) or '?' in text
    has_name = _contains_any(words, concepts) if concepts else not is_asking
    if not has_name:
        return Level.COMPLEX
    is_phrase = not is_asking and not any(word in RELATIONS or word in VERBS for word in content)
    return Level.CONCEPT if is_phrase and len(content) <= MAX_CONCEPT_WORDS else Level.SIMPLE


def _contains_any(words: Sequence[str], concepts: Sequence[str]) -> bool:
    """Return whether the words contain all words of a concept in a row, in the singular or with a plural s."""
    text = f' {" ".join(map(_singular, words))} '
    return any(f' {" ".join(map(_singular, WORD.findall(concept.lower())))} ' in text for concept in concepts)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith('s') and not word.endswith('ss') else word
