"""What an answer may copy from its instruction."""

from __future__ import annotations

from instructsam_model.lookup import LONGEST_GUESS, Lookup

END = -1
WORDS = ('Mark', ' the', ' red', ' mug', ' left', ' of', ' blue', '.', 're', 'd', ' Red', ' ', ' cup', 's', ' ug', " '")
MARK, THE, RED, MUG, LEFT, OF, BLUE, STOP, RE, D, LARGE_RED, SPACE, CUP, S, UG, QUOTE = range(len(WORDS))
TEXT = (MARK, THE, RED, MUG, LEFT, OF, THE, BLUE, MUG, STOP)


def look_up(text: tuple[int, ...] = TEXT) -> Lookup:
    return Lookup(text, END, WORDS.__getitem__)


def test_what_follows_a_word_is_guessed_up_to_the_end_of_the_phrase() -> None:
    assert look_up().after([LEFT]) == (OF, THE, BLUE, MUG, END)


def test_a_word_is_known_in_other_tokens_and_another_case() -> None:
    assert look_up().after([RE, D])[:2] == (MUG, LEFT)
    assert look_up().after([LARGE_RED])[:2] == (MUG, LEFT)


def test_only_whole_words_count() -> None:
    assert look_up().after([RE]) == look_up().after([D]) == look_up().after([UG]) == look_up().after([MUG, S]) == ()


def test_a_phrase_may_end_at_a_mark() -> None:
    assert look_up((MARK, QUOTE, RED, MUG, QUOTE, OF, BLUE)).after([RED]) == (MUG, END)
    assert look_up((MARK, THE, RED, SPACE, MUG)).after([RED]) == (SPACE, MUG, END)


def test_words_before_it_tell_places_apart() -> None:
    assert look_up().after([MUG])[0] == LEFT
    assert look_up().after([RED, MUG])[0] == LEFT
    assert look_up().after([BLUE, MUG]) == (END,)


def test_what_is_not_in_the_instruction_has_no_guess() -> None:
    assert look_up().after([CUP]) == look_up().after([]) == look_up(()).after([RED]) == ()
    assert look_up((THE, SPACE, RED)).after([SPACE]) == ()  # a space is no word


def test_a_guess_is_not_endless() -> None:
    assert look_up((MARK, *[RED] * 40)).after([MARK]) == (RED,) * LONGEST_GUESS
