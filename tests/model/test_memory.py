"""What is remembered of earlier answers, and for how long it may stand."""

from __future__ import annotations

import numpy as np
import torch

from instructsam_model import Frame
from instructsam_model.generation import Answer
from instructsam_model.memory import REMEMBERED, Memory

GREY, WHITE = (Frame(np.full((48, 64, 3), value, np.uint8)) for value in (128, 255))


def answer(token: int) -> Answer:
    return Answer((token,), (), torch.zeros(0, 1, 1))


def test_an_answer_stands_for_so_many_frames_that_look_the_same() -> None:
    memory = Memory(reuse_answers=False, steady_frames=2)
    assert memory.standing('a', memory.look(GREY)) is None
    memory.keep('a', said := answer(1), memory.look(GREY))
    assert memory.standing('b', memory.look(GREY)) is None
    assert memory.standing('a', memory.look(WHITE)) is None
    assert [memory.standing('a', memory.look(GREY)) for _ in range(3)] == [said, said, None]
    memory.keep('a', newer := answer(2), memory.look(WHITE))
    assert memory.standing('a', memory.look(WHITE)) is newer


def test_a_draft_is_the_last_answer() -> None:
    memory = Memory(reuse_answers=True, steady_frames=0)
    assert memory.look(GREY) is None
    memory.keep('a', answer(1), None)
    memory.keep('a', answer(2), None)
    assert memory.draft('a') == (2,)
    assert memory.draft('b') == ()
    assert memory.standing('a', None) is None


def test_what_was_asked_for_least_recently_is_forgotten() -> None:
    memory = Memory(reuse_answers=True, steady_frames=0)
    for number in range(REMEMBERED):
        memory.keep(str(number), answer(number), None)
    memory.keep('0', answer(0), None)
    memory.keep('one more', answer(0), None)
    assert memory.draft('0') == (0,)
    assert memory.draft('1') == ()


def test_nothing_is_kept_where_nothing_is_reused() -> None:
    memory = Memory(reuse_answers=False, steady_frames=0)
    memory.keep('a', answer(1), None)
    assert memory.draft('a') == ()
