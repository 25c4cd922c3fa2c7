"""Cached answers: reuse while the scene does not change, and drafts for speculative decoding."""

from __future__ import annotations

import numpy as np
import torch

from instructsam_model import Frame, Instruction
from instructsam_model.instructsam.answer_cache import CACHE_SIZE, AnswerCache, CacheKey
from instructsam_model.instructsam.generation import GeneratedAnswer

A, B = CacheKey('camera', 'a'), CacheKey('camera', 'b')
GRAY, WHITE = (Frame(np.full((48, 64, 3), value, np.uint8)) for value in (128, 255))


def answer(token: int) -> GeneratedAnswer:
    return GeneratedAnswer((token,), (), torch.zeros(0, 1, 1))


def test_key_is_camera_and_instruction() -> None:
    frame = Frame(GRAY.image_rgb, frame_id='camera')
    assert CacheKey.of(frame, Instruction('a', id='7')) == A


def test_answer_is_reused_for_a_limited_number_of_unchanged_frames() -> None:
    cache = AnswerCache(speculative_decoding=False, max_cached_frames=2)
    assert cache.reuse(A, cache.fingerprint(GRAY)) is None
    cache.put(A, first := answer(1), cache.fingerprint(GRAY))
    assert cache.reuse(B, cache.fingerprint(GRAY)) is None
    assert cache.reuse(A, cache.fingerprint(WHITE)) is None
    assert [cache.reuse(A, cache.fingerprint(GRAY)) for _ in range(3)] == [first, first, None]
    cache.put(A, second := answer(2), cache.fingerprint(WHITE))
    assert cache.reuse(A, cache.fingerprint(WHITE)) is second


def test_draft_is_the_last_answer() -> None:
    cache = AnswerCache(speculative_decoding=True, max_cached_frames=0)
    assert cache.fingerprint(GRAY) is None
    cache.put(A, answer(1), None)
    cache.put(A, answer(2), None)
    assert cache.draft(A) == (2,)
    assert cache.draft(B) == ()
    assert cache.reuse(A, None) is None


def test_cameras_have_separate_entries() -> None:
    cache = AnswerCache(speculative_decoding=True, max_cached_frames=10)
    left, right = CacheKey('left', 'a'), CacheKey('right', 'a')
    cache.put(left, of_left := answer(1), cache.fingerprint(GRAY))
    assert cache.draft(right) == ()
    cache.put(right, of_right := answer(2), cache.fingerprint(WHITE))
    for _ in range(2):
        assert cache.reuse(left, cache.fingerprint(GRAY)) is of_left
        assert cache.reuse(right, cache.fingerprint(WHITE)) is of_right


def test_least_recently_used_entry_is_dropped() -> None:
    cache = AnswerCache(speculative_decoding=True, max_cached_frames=0)
    for number in range(CACHE_SIZE):
        cache.put(CacheKey('camera', str(number)), answer(number), None)
    cache.put(CacheKey('camera', '0'), answer(0), None)
    cache.put(CacheKey('camera', 'one more'), answer(0), None)
    assert cache.draft(CacheKey('camera', '0')) == (0,)
    assert cache.draft(CacheKey('camera', '1')) == ()


def test_nothing_is_cached_when_both_options_are_off() -> None:
    cache = AnswerCache(speculative_decoding=False, max_cached_frames=0)
    cache.put(A, answer(1), None)
    assert cache.draft(A) == ()
