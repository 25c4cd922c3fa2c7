"""Words for scene queries: instructions in varying words, and the phrase of the answer in fixed words."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instructsam_training.tabletop.language.nouns import USES
from instructsam_training.tabletop.language.scene_query import SceneQuery
from instructsam_training.tabletop.language.sentence_templates import TEMPLATES, Split
from instructsam_training.tabletop.language.wordings import PHRASES, WORDINGS

SINGULAR_DETERMINERS = ('each', 'every', 'everything')


def instruction_text(query: SceneQuery, split: Split, rng: Random, *, is_plural: bool) -> str:
    """Return one of the instructions for a query."""
    slots = _slots(query, is_plural=is_plural)
    # `the` is not used by phrases of answers, so it is sampled here only.
    slots['the'] = rng.choice(('the', 'all')) if is_plural else 'the'
    # Uses have verb phrases of their own for each split.
    if 'use' in slots:
        use = next(use for use in USES if use.phrase == slots['use'])
        slots['do'] = rng.choice(use.train if split == 'train' else use.test)
    wording = rng.choice(WORDINGS[split][query.construction])
    return _sentence(wording.format(**slots), split, rng, is_plural=is_plural)


def multi_phrase_text(phrases: Sequence[str], split: Split, rng: Random) -> str:
    """Return an instruction for several phrases."""
    listed = [f'the {phrase}' for phrase in phrases]
    wordings = WORDINGS[split]['several' if len(phrases) > 2 else 'two']
    text = rng.choice(wordings).format(all=f'{", ".join(listed[:-1])} and {listed[-1]}')
    return _sentence(text, split, rng, is_plural=True)


def answer_phrase(query: SceneQuery, *, is_plural: bool) -> str:
    """Return the phrase of the answer to a query; it does not depend on the wording of the instruction."""
    return PHRASES[query.construction].format(**_slots(query, is_plural=is_plural))


def _slots(query: SceneQuery, *, is_plural: bool) -> dict[str, str]:
    noun = query.noun
    return {
        's': noun.words(plural=is_plural),
        'one': noun.words(plural=False),
        'many': noun.words(plural=True),
        'bare': noun.bare.words(plural=is_plural),
        'bares': noun.bare.words(plural=True),
        'x': noun.attributes,
        'is': 'are' if is_plural else 'is',
        **query.slots,
    }


def _sentence(text: str, split: Split, rng: Random, *, is_plural: bool) -> str:
    """The text itself if it is a sentence, else a sentence template with it."""
    if text.endswith(('.', '?')):
        return text
    # "each mug" is singular even if there are several.
    is_plural_subject = is_plural and text.split()[0] not in SINGULAR_DETERMINERS
    return rng.choice(TEMPLATES[split]).format(it=text, **{'is': 'are' if is_plural_subject else 'is'})
