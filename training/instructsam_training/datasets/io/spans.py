"""Conversations in published records: answers contain spans, and each span has a mask.

The answer `It is the <|object_ref_start|>kettle<|object_ref_end|><|mask_start|>[SEG]<|mask_end|>.` has one span.
Instructions with several phrases are written in this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from instructsam_model.masks import Rle
from instructsam_training.data.sample import Annotation, clean_phrase, named
from instructsam_training.datasets.io.segmentation import instance_rle

SPAN = re.compile(
    r'(?:<\|object_ref_start\|>(?P<phrase>[^<]*)<\|object_ref_end\|>\s*)?(?:<\|mask_start\|>\s*)?(?:\[SEG\])+'
)
WRITTEN_SPAN = '<|object_ref_start|>{}<|object_ref_end|><|mask_start|>[SEG]<|mask_end|>'
MARKERS = re.compile(r'<(?:image|video)>\s*')


def read_spans(conversations: Any, masks: Any, size_hw: tuple[int, int]) -> tuple[Annotation, ...]:
    """Parse the questions of a conversation and their masks.

    Spans of the same phrase in an answer are its instances. The first phrase of an answer makes the annotation; the
    others are added to its `additional_phrases`.

    Args:
        conversations: alternating questions and answers, `{'from': ..., 'value': text}`; `from` is ignored.
        masks: one per span, in order: an RLE or polygons; None for a phrase without target.
        size_hw: height and width of the image.

    Raises:
        ValueError: the numbers of spans and masks differ, a span has no phrase, or a mask is damaged.
    """
    turns = read_turns(conversations)
    answers = [list(SPAN.finditer(answer)) for _, answer in turns]
    # All conversations of a record share one list of masks.
    count = sum(map(len, answers))
    if not isinstance(masks, list) or not masks or len(masks) != count:
        found = len(masks) if isinstance(masks, list) else 'no'
        raise ValueError(f'expected a mask for each of {count} [SEG] spans, got {found} masks')
    # Masks are consumed in the order of the spans, across all answers.
    rest = iter(None if mask is None else instance_rle(mask, size_hw) for mask in masks)
    annotations: list[Annotation] = []
    for (question, _), spans in zip(turns, answers, strict=True):
        annotations += _annotation(question, [(_phrase(span), next(rest)) for span in spans])
    return tuple(annotations)


def read_turns(conversations: Any) -> list[tuple[str, str]]:
    """Return the pairs of question and answer of a conversation, questions without markers of images.

    Raises:
        ValueError: it is no list, or a question has no answer.
    """
    if not isinstance(conversations, list):
        raise ValueError(f'expected a list of turns, got {type(conversations).__name__}')
    # Turns alternate, so the speaker (`from`) is not needed.
    values = [turn.get('value') if isinstance(turn, dict) else None for turn in conversations]
    if len(values) % 2 or not all(isinstance(value, str) for value in values):
        raise ValueError(f'expected questions and answers in turn, got {len(values)} turns, some unpaired')
    turns = zip(values[::2], values[1::2], strict=True)
    return [(MARKERS.sub('', str(question)).strip(), str(answer)) for question, answer in turns]


def _phrase(span: re.Match[str]) -> str:
    phrase = clean_phrase(span['phrase'] or '')
    if not phrase:
        raise ValueError(
            f'expected a phrase between <|object_ref_start|> and <|object_ref_end|> before each [SEG], got {span[0]!r}'
        )
    return phrase


def write_spans(annotations: Iterable[Annotation]) -> tuple[list[dict[str, str]], list[Rle | None]]:
    """Return conversations and masks that `read_spans` reads back as the same annotations.

    Raises:
        ValueError: that is impossible: phrases of an answer are equal or not cleaned, or masks are filled boxes.
    """
    turns: list[dict[str, str]] = []
    masks: list[Rle | None] = []
    for annotation in annotations:
        phrases = [part.phrase for part in annotation.parts]
        if len(set(phrases)) < len(phrases) or any(clean_phrase(each) != each or '<' in each for each in phrases):
            raise ValueError(f'{annotation.text!r}: expected different, cleaned phrases, got {phrases}')
        if any(part.box_only for part in annotation.parts):
            raise ValueError(f'{annotation.text!r}: expected masks for several phrases, got filled boxes')
        # One span per mask; a phrase without target has one span and the mask None.
        spans = [(part.phrase, mask) for part in annotation.parts for mask in part.masks or (None,)]
        answer = ', '.join(WRITTEN_SPAN.format(phrase) for phrase, _ in spans)
        turns += [{'from': 'human', 'value': annotation.text}, {'from': 'gpt', 'value': answer}]
        masks += [mask for _, mask in spans]
    return turns, masks


def _annotation(question: str, spans: Sequence[tuple[str, Rle | None]]) -> list[Annotation]:
    """The annotation of a question; none if its answer has no span."""
    masks: dict[str, tuple[Rle, ...]] = {}
    for phrase, rle in spans:
        # A phrase without target has no mask, but is asked about.
        masks[phrase] = (*masks.get(phrase, ()), *([] if rle is None else [rle]))
    if not masks:
        return []
    # Dictionaries keep the order of the spans.
    first, *more = (named(phrase, found) for phrase, found in masks.items())
    return [Annotation('sentence', question, first.phrase, first.masks, additional_phrases=tuple(more))]
