"""What is remembered of earlier answers, and for how long it may stand."""

from __future__ import annotations

import numpy as np
import torch

from instructsam_model import Frame
from instructsam_model.instructsam.answer_cache import REMEMBERED, AnswerCache
from instructsam_model.instructsam.generation import Answer

A, B = ('camera', 'a'), ('camera', 'b')
GRAY, WHITE = (Frame(np.full((48, 64, 3), value, np.uint8)) for value in (128, 255))


def answer(token: int) -> Answer:
    return Answer((token,), (), torch.zeros(0, 1, 1))


def test_an_answer_stands_for_so_many_frames_that_look_the_same() -> None:
    memory = AnswerCache(speculative_decoding=False, max_cached_frames=2)
    assert memory.standing(A, memory.look(GRAY)) is None
    memory.keep(A, said := answer(1), memory.look(GRAY))
    assert memory.standing(B, memory.look(GRAY)) is None
    assert memory.standing(A, memory.look(WHITE)) is None
    assert [memory.standing(A, memory.look(GRAY)) for _ in range(3)] == [said, said, None]
    memory.keep(A, newer := answer(2), memory.look(WHITE))
    assert memory.standing(A, memory.look(WHITE)) is newer


def test_a_draft_is_the_last_answer() -> None:
    memory = AnswerCache(speculative_decoding=True, max_cached_frames=0)
    assert memory.look(GRAY) is None
    memory.keep(A, answer(1), None)
    memory.keep(A, answer(2), None)
    assert memory.draft(A) == (2,)
    assert memory.draft(B) == ()
    assert memory.standing(A, None) is None


def test_cameras_that_take_turns_do_not_disturb_each_other() -> None:
    memory = AnswerCache(speculative_decoding=True, max_cached_frames=10)
    left, right = ('left', 'a'), ('right', 'a')
    memory.keep(left, of_left := answer(1), memory.look(GRAY))
    assert memory.draft(right) == ()
    memory.keep(right, of_right := answer(2), memory.look(WHITE))
    for _ in range(2):
        assert memory.standing(left, memory.look(GRAY)) is of_left
        assert memory.standing(right, memory.look(WHITE)) is of_right


def test_what_was_asked_for_least_recently_is_forgotten() -> None:
    memory = AnswerCache(speculative_decoding=True, max_cached_frames=0)
    for number in range(REMEMBERED):
        memory.keep(('camera', str(number)), answer(number), None)
    memory.keep(('camera', '0'), answer(0), None)
    memory.keep(('camera', 'one more'), answer(0), None)
    assert memory.draft(('camera', '0')) == (0,)
    assert memory.draft(('camera', '1')) == ()


def test_nothing_is_kept_where_nothing_is_reused() -> None:
    memory = AnswerCache(speculative_decoding=False, max_cached_frames=0)
    memory.keep(A, answer(1), None)
    assert memory.draft(A) == ()
