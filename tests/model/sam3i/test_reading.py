"""How SAM3-I reads an instruction: cleaned, cut, at the chosen or guessed level, which the answer names.

Covers sam3i/router.py, sam3i/tokens.py and sam3i/options.py.
"""

from __future__ import annotations

import logging

import pytest
from transformers import CLIPTokenizer

from instructsam_model.errors import RequestError
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.reading import LevelReader
from instructsam_model.sam3i.router import route
from instructsam_model.sam3i.tokens import clean_text, tokenize_text
from tests.support.tiny_sam3 import make_tokenizer

CONCEPTS = ('mug', 'paper plate')


@pytest.fixture(scope='module')
def tokenizer() -> CLIPTokenizer:
    return make_tokenizer()


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('  Red   MUG!! ', 'red mug!!'),
        ('tab\tnewline\n end', 'tab newline end'),
        ('&lt;b&gt;bold&amp;amp;', '<b>bold&'),  # unescaped twice
        ('\u201cquoted\u201d don\u2019t', '"quoted" don\'t'),
        ('cafÃ©', 'café'),  # UTF-8 that was decoded as Latin-1
    ],
)
def test_text_is_cleaned_as_by_the_public_tokenizer(text: str, expected: str) -> None:
    assert clean_text(text) == expected


def test_tokens_begin_end_and_are_padded_with_zero(tokenizer: CLIPTokenizer) -> None:
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids = tokenize_text(tokenizer, 'Red  mug')
    words = tokenizer('red mug', add_special_tokens=False)['input_ids']
    assert ids == (begin, *words, end, *[0] * 28)
    assert tokenize_text(tokenizer, '') == (begin, end, *[0] * 30)


def test_long_text_is_cut_before_the_end_token(tokenizer: CLIPTokenizer) -> None:
    ids = tokenize_text(tokenizer, 'red ' * 40)
    assert (len(ids), ids[-1], len(set(ids[1:-1]))) == (32, tokenizer.eos_token_id, 1)


def test_special_tokens_of_the_public_tokenizer_are_known(tokenizer: CLIPTokenizer) -> None:
    """`<start_of_text> a <end_of_text>` is 49406, 49406, 320, 49407, 49407 in the public code."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids = tokenize_text(tokenizer, '<start_of_text> a <end_of_text>')
    assert (ids[:2], ids[3:5], ids[5]) == ((begin, begin), (end, end), 0)
    assert end not in tokenize_text(tokenizer, 'a <|endoftext|> b')[:-20][:5]
    # Within a run of punctuation it is none.
    assert tokenize_text(tokenizer, 'a !<end_of_text>').count(end) == 1


@pytest.mark.parametrize(
    ('text', 'level'),
    [
        ('red ball', 'concept'),
        ('The yellow school bus', 'concept'),
        ('the red ball on the left side of the picture', 'simple'),
        ('two toys at the right', 'simple'),
        ('segment the mug', 'simple'),
        ('a large old wooden kitchen table', 'simple'),
        ('something round that a dog would love to chase across the lawn', 'complex'),
        ('the object that could stop a door from closing!', 'complex'),
        ('a thing you may eat', 'complex'),
        ('Where do the flowers go?', 'complex'),
    ],
)
def test_level_is_guessed_from_the_words(text: str, level: str) -> None:
    assert route(text).value == level


@pytest.mark.parametrize(
    ('text', 'level'),
    [
        ('the red mug', 'concept'),
        ('mugs', 'concept'),
        ('paper plates next to what I drink from', 'simple'),
        ('where I drink from', 'complex'),
        ('paper', 'complex'),
    ],
)
def test_known_concepts_decide_what_is_named(text: str, level: str) -> None:
    assert route(text, CONCEPTS).value == level


def test_answer_names_the_level_and_whether_it_was_guessed(tokenizer: CLIPTokenizer) -> None:
    text = 'the mug, the plate'
    chosen = LevelReader(tokenizer, Level.SIMPLE)(text)
    assert (chosen.labels, chosen.text) == (('the mug, the plate',), 'level: simple')
    concept = LevelReader(tokenizer, Level.CONCEPT)(text)
    assert (concept.labels, concept.text) == (('the mug', 'the plate'), 'level: concept')
    guessed = LevelReader(tokenizer, None)('something to drink from')
    assert guessed.text == 'level: complex, guessed from the words'
    assert [each.level for each in guessed.phrases] == [Level.COMPLEX]


def test_text_that_is_cut_is_a_warning_and_in_the_answer(
    tokenizer: CLIPTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    reader = LevelReader(tokenizer, Level.COMPLEX)
    with caplog.at_level(logging.WARNING):
        assert reader('red ' * 30).text == 'level: complex'
        assert caplog.messages == []
        assert reader('red ' * 31).text == 'level: complex; read the first 30 of 31 word pieces'
        reader('red ' * 31)
    [message] = caplog.messages  # once, not for every image
    assert message.startswith('instruction of 31 word pieces: only the first 30 are read')


def test_instruction_without_phrases_is_refused(tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(RequestError, match='expected phrases'):
        LevelReader(tokenizer, Level.CONCEPT)(' , ')
