"""Prompt lookup: draft tokens copied from the instruction."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from instructsam_model.instructsam.prompt_lookup import (
    MAX_COPIED_TOKENS,
    AnswerTokens,
    PhraseStyle,
    PromptLookup,
    named_phrases,
)

START, END, STOP = -1, -2, -3
WORDS: list[str] = []


def encode(text: str) -> list[int]:
    """Make a token for each word with the space before it, and for each punctuation mark."""
    ids = []
    for word in re.findall(r'\s*\w+|\s*[^\w\s]|\s+', text):
        if word not in WORDS:
            WORDS.append(word)
        ids.append(WORDS.index(word))
    return ids


def propose(text: str, generated: Sequence[int] = ()) -> tuple[int, ...]:
    special = AnswerTokens(START, END, STOP)
    return PromptLookup(text, PhraseStyle().predict(text), special, encode, decode).propose(generated)


def decode(token: int) -> str:
    return {START: '<', END: '>', STOP: '.'}.get(token) or WORDS[token]


def text_of(ids: Sequence[int]) -> str:
    return ''.join(map(decode, ids))


@pytest.mark.parametrize(
    ('instruction', 'answer'),
    [
        ("Please segment 'red mug'.", '<red mug>.'),
        ("Can you segment 'Red mug left of the bowl.' in the image?", '<red mug left of the bowl>.'),
        ("Segment 'red mug, green ball and cat's toy'.", "<red mug>, <green ball>, <cat's toy>."),
        ('Find the largest mug in the image.', '<largest mug>.'),
        ('could you please pick up all the mugs', '<mugs>.'),
    ],
)
def test_whole_answer_is_proposed_when_the_instruction_names_the_phrases(instruction: str, answer: str) -> None:
    proposed = propose(instruction)
    assert text_of(proposed) == answer
    for length in range(len(proposed)):  # also after any part of it has been generated
        assert propose(instruction, proposed[:length]) == proposed[length:]


@pytest.mark.parametrize(
    'instruction', ['What can I drink from?', 'the two mugs', 'Which tool cuts, and which drills?', "'"]
)
def test_start_of_a_phrase_is_proposed_when_the_instruction_names_none(instruction: str) -> None:
    assert named_phrases(instruction) == []
    assert propose(instruction) == (START,)


def test_very_long_phrase_is_not_proposed() -> None:
    assert propose(f"Segment '{'very ' * 40}red mug'.") == (START,)


TEXT = 'Note: the red mug left of the blue mug.'


def test_words_after_a_match_are_copied_up_to_punctuation() -> None:
    assert text_of(propose(TEXT, [START, *encode(' left')])) == ' of the blue mug>.'
    assert text_of(propose('(red mug) of blue', [START, *encode('red')])) == ' mug>.'


def test_words_match_in_other_tokens_and_upper_case() -> None:
    WORDS.extend(part for part in ('re', 'd') if part not in WORDS)
    in_parts = [START, WORDS.index('re'), WORDS.index('d')]
    assert (
        text_of(propose(TEXT, in_parts))
        == text_of(propose(TEXT, [START, *encode('Red')]))
        == ' mug left of the blue mug>.'
    )


def test_parts_of_words_do_not_match() -> None:
    for part in ('re', 'ug', 'mugs', ' '):
        assert propose(TEXT, [START, *encode(part)]) == ()


def test_preceding_words_decide_between_several_matches() -> None:
    assert text_of(propose(TEXT, [START, *encode('red mug')])) == ' left of the blue mug>.'
    assert text_of(propose(TEXT, [START, *encode('blue mug')])) == '>.'


def test_end_of_the_answer_is_proposed_after_a_phrase() -> None:
    assert propose(TEXT, [START, *encode('cup'), END]) == (STOP,)


def test_nothing_is_proposed_without_a_match() -> None:
    assert propose(TEXT, [START, *encode('cup')]) == propose('', [START, *encode('red')]) == ()


def test_number_of_copied_tokens_is_limited() -> None:
    assert len(propose(f'Note: {"red " * 40}', [START, *encode('Note')])) <= MAX_COPIED_TOKENS + 2
    assert len(propose(f'Note {"red " * 40}', [START, *encode('Note')])) == MAX_COPIED_TOKENS


def test_phrases_are_predicted_in_the_style_of_the_last_answer() -> None:
    style, instruction = PhraseStyle(), "Segment 'the mug and a bowl'."
    assert style.predict(instruction) == ['the mug', 'a bowl']
    style.update(instruction, ['mug', 'bowl'])
    assert style.predict("Segment 'the cup left of the bowl'.") == ['cup left of bowl']
    style.update('What can I drink from?', ['mug'])  # names no phrase, so it does not change the style
    assert style.predict(instruction) == ['mug', 'bowl']
    style.update(instruction, ['crockery'])
    assert style.predict(instruction) == []
    style.update(instruction, ['the mug', 'a bowl'])
    assert style.predict(instruction) == ['the mug', 'a bowl']
