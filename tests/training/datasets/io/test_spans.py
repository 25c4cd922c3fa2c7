"""Conversations in published records."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from instructsam_model.masks import encode_rle
from instructsam_training.data.sample import Annotation, named
from instructsam_training.datasets.io.spans import read_spans, write_spans

SIZE_HW = (4, 6)
COLUMN = {'size': [4, 6], 'counts': [4, 4, 16]}
POLYGON = [[1, 0, 2, 0, 2, 4, 1, 4]]
MASK = np.zeros(SIZE_HW, dtype=bool)
MASK[:, 1] = True
RLE = encode_rle(MASK)
SPAN = '<|object_ref_start|>{}<|object_ref_end|><|mask_start|>[SEG][SEG]<|mask_end|>'


def turns(*values: str) -> list[dict[str, str]]:
    return [{'from': ('human', 'gpt')[number % 2], 'value': value} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ('conversation', 'masks', 'expected'),
    [
        pytest.param(
            turns('<image>\nWhat cuts bread?', 'It is the ' + SPAN.format('Bread knife') + '.'),
            [COLUMN],
            [Annotation('sentence', 'What cuts bread?', 'bread knife', (RLE,))],
            id='one span',
        ),
        pytest.param(
            turns('Which cups?', f'{SPAN.format("cup")} and {SPAN.format("cup")}'),
            [COLUMN, POLYGON],
            [Annotation('sentence', 'Which cups?', 'cup', (RLE, RLE))],
            id='two spans of one name',
        ),
        pytest.param(
            turns('Knife and cup?', f'{SPAN.format("knife")}, {SPAN.format("cup")}'),
            [COLUMN, None],
            [Annotation('sentence', 'Knife and cup?', 'knife', (RLE,), additional_phrases=(named('cup'),))],
            id='two names, one of them of nothing',
        ),
        pytest.param(
            turns('Where?', '<|object_ref_start|>cup<|object_ref_end|> [SEG].'),
            [json.dumps(RLE)],
            [Annotation('sentence', 'Where?', 'cup', (RLE,))],
            id='bare token, mask as text',
        ),
        pytest.param(
            turns('Hello', 'Hi.', 'Where?', SPAN.format('cup'), 'And the pot?', SPAN.format('pot')),
            [None, COLUMN],
            [Annotation('sentence', 'Where?', 'cup'), Annotation('sentence', 'And the pot?', 'pot', (RLE,))],
            id='several turns, one of them small talk',
        ),
    ],
)
def test_answers_with_spans(conversation: Any, masks: Any, expected: list[Annotation]) -> None:
    assert read_spans(conversation, masks, SIZE_HW) == tuple(expected)


@pytest.mark.parametrize(
    ('conversation', 'masks', 'message'),
    [
        (turns('Where?', 'It is [SEG].'), [COLUMN], 'expected a phrase between'),
        (turns('Where?', SPAN.format('cup')), [COLUMN, COLUMN], r'each of 1 \[SEG\] spans, got 2 masks'),
        (turns('Where?', 'Nowhere.'), [], r'each of 0 \[SEG\] spans, got 0 masks'),
        (turns('Where?', SPAN.format('cup')), COLUMN, 'got no masks'),
        (turns('Where?', SPAN.format('cup')), [{'size': [4, 6], 'counts': [24]}], 'at least one pixel'),
        (turns('Where?'), [COLUMN], 'questions and answers in turn'),
        ([{'from': 'human'}, {'from': 'gpt'}], [COLUMN], 'questions and answers in turn'),
        (None, [COLUMN], 'expected a list of turns'),
    ],
)
def test_conversations_that_cannot_be_read(conversation: Any, masks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_spans(conversation, masks, SIZE_HW)


@pytest.mark.parametrize(
    ('annotation', 'message'),
    [
        (
            Annotation('sentence', 'Cups?', 'cup', (RLE,), additional_phrases=(named('cup'),)),
            "different, cleaned phrases, got .'cup'",
        ),
        (
            Annotation('sentence', 'Cups?', 'cup', (RLE,), additional_phrases=(Annotation('phrase', 'Pot', 'Pot'),)),
            "got .'cup', 'Pot'",
        ),
        (
            Annotation('sentence', 'Cups?', 'cup', (RLE,), additional_phrases=(named('pot', (RLE,), box_only=True),)),
            'got filled boxes',
        ),
    ],
)
def test_answers_that_would_be_read_back_differently_are_an_error(annotation: Annotation, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_spans([annotation])
