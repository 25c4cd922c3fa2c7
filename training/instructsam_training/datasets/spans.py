"""Published records that are whole conversations: their answers hold spans, and each span has a mask.

An answer such as `It is the <|object_ref_start|>kettle<|object_ref_end|><|mask_start|>[SEG]<|mask_end|>.` has one span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from instructsam_model.masks import Rle
from instructsam_training.datasets.segmentation import instance_rle
from instructsam_training.sample import Annotation, clean_phrase, named

SPAN = re.compile(
    r'(?:<\|object_ref_start\|>(?P<phrase>[^<]*)<\|object_ref_end\|>\s*)?(?:<\|mask_start\|>\s*)?(?:\[SEG\])+'
)
MARKERS = re.compile(r'<(?:image|video)>\s*')


def read_spans(conversations: Any, masks: Any, size_hw: tuple[int, int]) -> tuple[Annotation, ...]:
    """The questions of a conversation and the masks that answer them.

    An answer that names one thing, in one span or in several, answers its question. An answer that names several things
    has no form of its own here: each name becomes a question, and the question about all of them is left out.

    Args:
        conversations: questions and answers in turn, `{'from': ..., 'value': text}`; who speaks is told by the order.
        masks: for each span, in order, an RLE or polygons; None where nothing answers.
        size_hw: height and width of the picture.

    Raises:
        ValueError: there are not as many spans as masks, a span has no name, or a mask is damaged.
    """
    turns = _turns(conversations)
    answers = [list(SPAN.finditer(answer)) for _, answer in turns]
    count = sum(map(len, answers))
    if not isinstance(masks, list) or not masks or len(masks) != count:
        found = len(masks) if isinstance(masks, list) else 'no'
        raise ValueError(f'expected a mask for each of {count} [SEG] spans, got {found} masks')
    rest = iter(None if mask is None else instance_rle(mask, size_hw) for mask in masks)
    annotations: list[Annotation] = []
    for (question, _), spans in zip(turns, answers, strict=True):
        annotations += _answered(question, [(_phrase(span), next(rest)) for span in spans])
    return tuple(annotations)


def _turns(conversations: Any) -> list[tuple[str, str]]:
    """Pairs of question and answer."""
    if not isinstance(conversations, list):
        raise ValueError(f'expected a list of turns, got {type(conversations).__name__}')
    values = [turn.get('value') if isinstance(turn, dict) else None for turn in conversations]
    if len(values) % 2 or not all(isinstance(value, str) for value in values):
        raise ValueError(f'expected questions and answers in turn, got {len(values)} turns, some unpaired')
    turns = zip(values[::2], values[1::2], strict=True)
    return [(MARKERS.sub('', str(question)).strip(), str(answer)) for question, answer in turns]


def _phrase(span: re.Match[str]) -> str:
    phrase = clean_phrase(span['phrase'] or '')
    if not phrase:
        raise ValueError(
            f'expected a name between <|object_ref_start|> and <|object_ref_end|> before each [SEG], got {span[0]!r}'
        )
    return phrase


def _answered(question: str, spans: Sequence[tuple[str, Rle | None]]) -> list[Annotation]:
    masks: dict[str, tuple[Rle, ...]] = {}
    for phrase, rle in spans:
        masks[phrase] = (*masks.get(phrase, ()), *([] if rle is None else [rle]))
    if len(masks) == 1:
        phrase, found = next(iter(masks.items()))
        return [Annotation('sentence', question, phrase, found)]
    return [named(phrase, found) for phrase, found in masks.items()]
