"""Tokens of a pass: packing, causality, and padded lengths."""

from __future__ import annotations

import pytest

from instructsam_model.instructsam.engine.tokens import PADDING, Tokens, bucket


def test_padding_attends_to_one_slot_and_writes_to_the_unused_one() -> None:
    tokens = Tokens()
    tokens.add(7, 20, 10)
    tokens.add(8, 21, 11, bank_row=0, end=13)
    assert tokens.pack(4, unused_slot=99).tolist() == [
        [7, 8, 0, 0],
        [PADDING, 0, PADDING, PADDING],
        [20, 21, 0, 0],
        [10, 11, 99, 99],
        [11, 13, 1, 1],
    ]


def test_tokens_are_causal_if_each_ends_after_itself() -> None:
    tokens = Tokens()
    tokens.add(7, 0, 0)
    assert tokens.is_causal
    tokens.add(8, 1, 1, end=3)
    assert not tokens.is_causal


@pytest.mark.parametrize(('length', 'size'), [(1, 4), (4, 4), (5, 16), (16, 16), (17, 32), (33, 48)])
def test_bucket_uses_multiples_of_the_last_size(length: int, size: int) -> None:
    assert bucket(length, (4, 16)) == size
