"""Phrases as CLIP's tokens for SAM3's text encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import CLIPTokenizer

PHRASE_TOKENS = 32
"""Tokens of a phrase that SAM3 reads, those of its beginning and end included; more are cut off, as in Meta's code."""


def tokenize_phrases(
    tokenizer: CLIPTokenizer, phrases: Sequence[str], length: int = PHRASE_TOKENS
) -> tuple[Tensor, Tensor]:
    """Return token ids of N phrases and the mask of those that are not padding, int64 [N, length] each.

    "<|endoftext|>" in a phrase, of which SAM3 would not read the rest, is tokenized as the characters of it.
    """
    # Padded to one length, as SAM3 was trained.
    tokens = tokenizer(
        [*phrases],
        return_tensors='pt',
        padding='max_length',
        truncation=True,
        max_length=length,
        split_special_tokens=True,
    )
    return tokens['input_ids'], tokens['attention_mask']
