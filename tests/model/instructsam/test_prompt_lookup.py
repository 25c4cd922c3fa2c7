"""Draft tokens that are copied from the instruction."""

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
    """A token for each word with the space before it, and for each mark."""
    ids = []
    for word in re.findall(r'\s*\w+|\s*[^\w\s]|\s+', text):
        if word not in WORDS:
            WORDS.append(word)
        ids.append(WORDS.index(word))
    return ids


def propose(text: str, written: Sequence[int] = ()) -> tuple[int, ...]:
    special = AnswerTokens(START, END, STOP)
    return PromptLookup(text, PhraseStyle().foresee(text), special, encode, decode).propose(written)


def decode(token: int) -> str:
    return {START: '<', END: '>', STOP: '.'}.get(token) or WORDS[token]


def spelled(ids: Sequence[int]) -> str:
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
def test_an_answer_whose_phrases_are_named_is_foreseen_whole(instruction: str, answer: str) -> None:
    foreseen = propose(instruction)
    assert spelled(foreseen) == answer
    for length in range(len(foreseen)):  # and wherever it has been followed so far
        assert propose(instruction, foreseen[:length]) == foreseen[length:]


@pytest.mark.parametrize(
    'instruction', ['What can I drink from?', 'the two mugs', 'Which tool cuts, and which drills?', "'"]
)
def test_an_answer_that_is_not_named_starts_with_a_phrase(instruction: str) -> None:
    assert named_phrases(instruction) == []
    assert propose(instruction) == (START,)


def test_a_phrase_of_a_whole_paragraph_is_not_foreseen() -> None:
    assert propose(f"Segment '{'very ' * 40}red mug'.") == (START,)


TEXT = 'Note: the red mug left of the blue mug.'


def test_what_follows_a_word_is_copied_up_to_a_mark() -> None:
    assert spelled(propose(TEXT, [START, *encode(' left')])) == ' of the blue mug>.'
    assert spelled(propose('(red mug) of blue', [START, *encode('red')])) == ' mug>.'


def test_a_word_is_known_in_other_tokens_and_another_case() -> None:
    WORDS.extend(part for part in ('re', 'd') if part not in WORDS)
    in_parts = [START, WORDS.index('re'), WORDS.index('d')]
    assert (
        spelled(propose(TEXT, in_parts))
        == spelled(propose(TEXT, [START, *encode('Red')]))
        == ' mug left of the blue mug>.'
    )


def test_only_whole_words_count() -> None:
    for part in ('re', 'ug', 'mugs', ' '):
        assert propose(TEXT, [START, *encode(part)]) == ()


def test_words_before_it_tell_places_apart() -> None:
    assert spelled(propose(TEXT, [START, *encode('red mug')])) == ' left of the blue mug>.'
    assert spelled(propose(TEXT, [START, *encode('blue mug')])) == '>.'


def test_behind_a_phrase_the_answer_is_expected_to_end() -> None:
    assert propose(TEXT, [START, *encode('cup'), END]) == (STOP,)


def test_what_is_not_in_the_instruction_has_no_proposal() -> None:
    assert propose(TEXT, [START, *encode('cup')]) == propose('', [START, *encode('red')]) == ()


def test_a_copy_is_not_endless() -> None:
    assert len(propose(f'Note: {"red " * 40}', [START, *encode('Note')])) <= MAX_COPIED_TOKENS + 2
    assert len(propose(f'Note {"red " * 40}', [START, *encode('Note')])) == MAX_COPIED_TOKENS


def test_phrases_are_foreseen_as_the_last_ones_were_written() -> None:
    style, instruction = PhraseStyle(), "Segment 'the mug and a bowl'."
    assert style.foresee(instruction) == ['the mug', 'a bowl']
    style.learn(instruction, ['mug', 'bowl'])
    assert style.foresee("Segment 'the cup left of the bowl'.") == ['cup left of bowl']
    style.learn('What can I drink from?', ['mug'])  # which names no phrase, and says nothing of how they are written
    assert style.foresee(instruction) == ['mug', 'bowl']
    style.learn(instruction, ['crockery'])
    assert style.foresee(instruction) == []
    style.learn(instruction, ['the mug', 'a bowl'])
    assert style.foresee(instruction) == ['the mug', 'a bowl']
