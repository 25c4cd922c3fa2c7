"""Words for requests: `text_of` says them in one of many ways, `phrase_of` always in the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from instructsam_training.tabletop.language.nouns import USES
from instructsam_training.tabletop.language.scene_query import Request
from instructsam_training.tabletop.language.sentence_templates import FRAMES, Split
from instructsam_training.tabletop.language.wordings import PHRASES, WORDINGS

SINGULAR_STARTS = ('each', 'every', 'everything')


def text_of(request: Request, split: Split, rng: Random, *, is_plural: bool) -> str:
    """One of the request's instructions."""
    slots = _slots(request, is_plural=is_plural)
    slots['the'] = rng.choice(('the', 'all')) if is_plural else 'the'
    if 'use' in slots:
        use = next(use for use in USES if use.phrase == slots['use'])
        slots['do'] = rng.choice(use.train if split == 'train' else use.test)
    wording = rng.choice(WORDINGS[split][request.construction])
    return _framed(wording.format(**slots), split, rng, is_plural=is_plural)


def several_text(phrases: Sequence[str], split: Split, rng: Random) -> str:
    """An instruction for several phrases at once."""
    listed = [f'the {phrase}' for phrase in phrases]
    wordings = WORDINGS[split]['several' if len(phrases) > 2 else 'two']
    text = rng.choice(wordings).format(all=f'{", ".join(listed[:-1])} and {listed[-1]}')
    return _framed(text, split, rng, is_plural=True)


def phrase_of(request: Request, *, is_plural: bool) -> str:
    """What the model writes for a request, however it was worded."""
    return PHRASES[request.construction].format(**_slots(request, is_plural=is_plural))


def _slots(request: Request, *, is_plural: bool) -> dict[str, str]:
    noun = request.noun
    return {
        's': noun.words(plural=is_plural),
        'one': noun.words(plural=False),
        'many': noun.words(plural=True),
        'bare': noun.bare.words(plural=is_plural),
        'bares': noun.bare.words(plural=True),
        'x': noun.attributes,
        'is': 'are' if is_plural else 'is',
        **request.slots,
    }


def _framed(text: str, split: Split, rng: Random, *, is_plural: bool) -> str:
    """The text itself if it is a sentence, else in a sentence."""
    if text.endswith(('.', '?')):
        return text
    is_many = is_plural and text.split()[0] not in SINGULAR_STARTS
    return rng.choice(FRAMES[split]).format(it=text, **{'is': 'are' if is_many else 'is'})
