"""Questions with text answers about hand-made views."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from instructsam_training.tabletop.language.captions import Caption, CaptionKind, sample_captions
from tests.support.handmade_view import Placed, make_view

TABLE = (
    Placed('red', 'mug', -0.35, 0.0),
    Placed('blue', 'mug', 0.0, -0.1, scale=1.4),
    Placed('green', 'bowl', 0.3, 0.1, material='wood'),
    Placed('red', 'ball', 0.3, 0.1, scale=0.6, inside=3, visible=0.9),
)
EXPECTED = {
    'List all things.': 'red mug, blue mug, green bowl, red ball',
    'List the mugs from left to right.': 'red mug, blue mug',
    'List the mugs from right to left.': 'blue mug, red mug',
    'Name the largest mug.': 'blue mug',
    'Name the smallest thing.': 'red ball',
    'Name the red things.': 'red mug, red ball',
    'How many mugs are there?': 'two',
    'How many hammers are there?': 'none',
    'Is there a red mug?': 'yes',
    'Is there a green mug?': 'no',
    'Say the color of the nearest mug.': 'blue',
    'Say what the bowl is made of.': 'wood',
    'On which side is the leftmost mug?': 'left',
    'On which side is the largest mug?': 'middle',
    'On which side is the bowl?': 'right',
    'Locate the bowl.': '72 40',
    'Locate the mugs.': '21 46, 50 52',
    'Locate the green mug.': 'nowhere',
}


@pytest.fixture(scope='module')
def captions() -> list[Caption]:
    view = make_view(*TABLE)
    return [caption for seed in range(300) for caption in sample_captions(view, Random(seed), 8)]


def test_answers_are_correct_and_consistent(captions: list[Caption]) -> None:
    answers: dict[str, set[str]] = {}
    for caption in captions:
        answers.setdefault(caption.question, set()).add(caption.answer)
    assert {question: answers[question] for question in EXPECTED} == {key: {text} for key, text in EXPECTED.items()}
    assert all(len(each) == 1 for each in answers.values())
    assert 'Name the red mug.' not in answers


def test_all_kinds_are_sampled(captions: list[Caption]) -> None:
    counts = {kind: sum(caption.kind == kind for caption in captions) for kind in get_args(CaptionKind)}
    assert min(counts.values()) > 50
    assert counts['place'] > 0.4 * len(captions)
    assert sample_captions(make_view(), Random(0), 8) == []
