"""Phrases as SAM3's tokens."""

from __future__ import annotations

import pytest

from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS, tokenize_phrases
from tests.support.tiny_sam3 import make_tokenizer


@pytest.mark.parametrize('phrase', ['red mug', 'a ' * 100])
def test_phrases_are_padded_or_cut_to_one_length(phrase: str) -> None:
    tokenizer = make_tokenizer()
    token_ids, token_mask = tokenize_phrases(tokenizer, [phrase, 'mug'])
    assert token_ids.shape == token_mask.shape == (2, PHRASE_TOKENS)
    expected = tokenizer(phrase).input_ids[: PHRASE_TOKENS - 1]
    assert token_ids[0, : len(expected)].tolist() == expected
    assert token_ids[0, int(token_mask[0].sum()) - 1] == tokenizer.eos_token_id


def test_text_that_reads_like_the_end_token_is_text() -> None:
    tokenizer = make_tokenizer()
    (token_ids,), (token_mask,) = tokenize_phrases(tokenizer, ['a <|endoftext|> mug'])
    ids = token_ids[token_mask.bool()].tolist()
    assert ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == ['a', '<|', 'endoftext', '|>', 'mug']
