"""The user sentences of the agent: kind and slots in, text out.

Slots: `query` of the user; `n` masks; `phrase` of the last call; `used` phrases, sorted; `fault` what was wrong with a
reply, `left` how often it may be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from instructsam_model.sam3_agent.core.messages import TextPart

Slots = Mapping[str, Any]


def make_sentence(kind: str, **slots: Any) -> TextPart:
    """Return the sentence of a kind as a part of a message.

    Raises:
        KeyError: there is no such kind, or a slot is missing.
    """
    return TextPart(SENTENCES[kind](slots), kind, slots)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _list(phrases: list[str]) -> str:
    return ', '.join(map(_quote, phrases))


def _count(n: int) -> str:
    return 'one mask, number 1' if n == 1 else f'{n} masks, numbered 1 to {n}'


def _initial(slots: Slots) -> str:
    return f'This is the raw image. The query is {_quote(slots["query"])}. Find what it asks for.'


def _initial_with_warning(slots: Slots) -> str:
    return (
        f'{_initial(slots)} segment_phrase has been called before with {_list(slots["used"])}; those masks are gone. '
        'Do not use these phrases again.'
    )


def _segmented(slots: Slots) -> str:
    return (
        f'segment_phrase found {_count(slots["n"])}; they are in the image below. Compare each with the query '
        f'{_quote(slots["query"])}, not with the phrase. If all targets are among them, select them; otherwise make '
        'the call that brings you nearer.'
    )


def _zero_masks(slots: Slots) -> str:
    return (
        f'segment_phrase found nothing for {_quote(slots["phrase"])}, and there are no masks now. Call it with another '
        f'phrase, more general or with another noun, for the query {_quote(slots["query"])}; report_no_mask only if '
        'nothing in the raw image can be meant.'
    )


def _repeated_phrase(slots: Slots) -> str:
    return (
        f'The phrase {_quote(slots["phrase"])} has been used, and SAM3 would find the same again; it was not called. '
        f'Used so far: {_list(slots["used"])}. Choose a phrase that is not in this list, or another call.'
    )


def _examined(slots: Slots) -> str:
    return (
        f'After the examination {_count(slots["n"])} remained; the image below shows them with new numbers. '
        f'Select those that fit the query {_quote(slots["query"])}, or look for missing targets with another phrase.'
    )


def _all_rejected(slots: Slots) -> str:
    return (
        'The examination rejected all masks; there are none now. Call segment_phrase with another phrase for the query '
        f'{_quote(slots["query"])}, or report_no_mask if nothing in the raw image can be meant.'
    )


def _tool_error(slots: Slots) -> str:
    left = slots['left']
    chances = 'This is the last attempt' if left <= 1 else f'There are {left} attempts left'
    return (
        f'This reply was not carried out: {slots["fault"]}. {chances}. Reply with exactly one call of the form '
        '<tool>{"name": "...", "parameters": {...}}</tool>.'
    )


def _verdict_error(slots: Slots) -> str:
    return (
        f'This reply holds no verdict: {slots["fault"]}. End with <verdict>Accept</verdict> or '
        '<verdict>Reject</verdict>.'
    )


SENTENCES: dict[str, Callable[[Slots], str]] = {
    'initial': _initial,
    'initial_with_warning': _initial_with_warning,
    'segmented': _segmented,
    'zero_masks': _zero_masks,
    'repeated_phrase': _repeated_phrase,
    'image_withdrawn': lambda slots: 'An image with masks was here. It is withdrawn, because each mask is examined.',
    'examined': _examined,
    'all_rejected': _all_rejected,
    'tool_error': _tool_error,
    'check_raw': lambda slots: 'The raw image:',
    'check_query': lambda slots: f'The query: {_quote(slots["query"])}',
    'check_mask': lambda slots: 'The image with the mask:',
    'check_zoom': lambda slots: 'The mask enlarged, with its surroundings and closer:',
    'verdict_error': _verdict_error,
}
"""Kind: the function that makes the text."""
