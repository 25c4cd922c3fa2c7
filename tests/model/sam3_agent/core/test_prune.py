"""What the model is still told. Covers messages. The rules of the public code are a table of replay/test_main.py."""

from __future__ import annotations

import numpy as np

from instructsam_model.sam3_agent.core.messages import (
    ImagePart,
    Message,
    TextPart,
    View,
    count_images,
    estimate_tokens,
    with_text,
)
from instructsam_model.sam3_agent.core.prune import MAX_PAIRS, prune_lenient

PIXELS = np.zeros((280, 280, 3), np.uint8)
HEAD = [
    Message('system', (TextPart('s' * 300),)),
    Message('user', (ImagePart(View('image'), PIXELS), TextPart('q', 'initial', {'query': 'q'}))),
]


def pair(text: str, tool: str = '', with_image: bool = False) -> list[Message]:
    image = (ImagePart(View('masks'), PIXELS),) if with_image else ()
    return [Message('assistant', (TextPart(text),), tool), Message('user', (TextPart(f're {text}'), *image))]


def test_refusals_and_thoughts_do_not_hide_the_masks() -> None:
    first = pair('a', 'segment_phrase', with_image=True)
    talk = [message for number in range(MAX_PAIRS + 3) for message in pair(f'segment_phrase <tool> {number}')]
    pruned = prune_lenient([*HEAD, *first, *talk], ['a'], 'a', 'q')
    assert [message.text for message in pruned[2:4]] == ['a', 're a']
    assert len(pruned) == 2 + 2 + 2 * MAX_PAIRS
    assert pruned[-1].text.endswith(f're segment_phrase <tool> {MAX_PAIRS + 2}')
    assert count_images(pruned) == 2


def test_the_newest_image_stays_however_much_follows() -> None:
    withdrawn = pair('a', 'segment_phrase')
    examined = pair('examined', 'examine_each_mask', with_image=True)
    talk = [message for number in range(MAX_PAIRS + 3) for message in pair(str(number))]
    pruned = prune_lenient([*HEAD, *withdrawn, *examined, *talk], ['a'], 'a', 'q')
    assert [message.text for message in pruned if message.role == 'assistant'][:2] == ['a', 'examined']
    assert count_images(pruned) == 2


def test_an_older_phrase_goes_with_its_masks_and_is_warned_of() -> None:
    messages = [*HEAD, *pair('a', 'segment_phrase', True), *pair('b', 'segment_phrase', True)]
    pruned = prune_lenient(messages, ['a', 'b'], 'b', 'q')
    assert [message.text for message in pruned[2:]] == ['b', 're b']
    [image, sentence] = pruned[1].parts
    assert isinstance(image, ImagePart)
    assert isinstance(sentence, TextPart)
    assert (sentence.kind, sentence.slots['used']) == ('initial_with_warning', ['a'])


def test_tokens_grow_with_text_and_pixels() -> None:
    assert estimate_tokens(HEAD) == 300 // 3 + 4 + 10 * 10 + 8 + 4
    assert estimate_tokens([with_text(HEAD[0], '杯' * 100)]) == 104
