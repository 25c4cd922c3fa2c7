"""Texts as the token ids that SAM3-I was trained with: cleaned, cut to 32 tokens, padded with 0.

The public tokenizer is OpenAI's of CLIP. With the same vocabulary `transformers` gives the same ids, except for what is
done here: it does not repair text, knows other texts for the special tokens, and pads with the token of the end.
"""

from __future__ import annotations

import html
import re

import ftfy
from transformers import CLIPTokenizer

from instructsam_model.sam3.phrase_tokens import PHRASE_TOKENS
from instructsam_model.sam3i.network import PADDING_ID

MAX_PIECES = PHRASE_TOKENS - 2
"""Word pieces that are read, besides the tokens of the beginning and the end."""
SPECIAL = re.compile(r'(?<![^\s\w])(?<!_)(<start_of_text>|<end_of_text>)')
"""Texts of the special tokens in the public tokenizer, except within a run of punctuation."""


def clean_text(text: str) -> str:
    """Repair a text as the public tokenizer does: broken encodings, curly quotes, HTML, white space, upper case."""
    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    return ' '.join(repaired.split()).lower()


def count_pieces(tokenizer: CLIPTokenizer, text: str) -> int:
    """Return the number of word pieces of a text, see `MAX_PIECES`."""
    return len(_pieces(tokenizer, text))


def tokenize_text(tokenizer: CLIPTokenizer, text: str, length: int = PHRASE_TOKENS) -> tuple[int, ...]:
    """Return `length` token ids; what is too long is cut, and the last id is always that of the end."""
    pieces = _pieces(tokenizer, text)[: length - 2]
    ids = [tokenizer.bos_token_id, *pieces, tokenizer.eos_token_id]
    return (*ids, *[PADDING_ID] * (length - len(ids)))


def _pieces(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    special = {'<start_of_text>': tokenizer.bos_token_id, '<end_of_text>': tokenizer.eos_token_id}
    pieces: list[int] = []
    for part in SPECIAL.split(clean_text(text)):
        if part in special:
            pieces.append(special[part])
        elif part:
            pieces += tokenizer(part, add_special_tokens=False, split_special_tokens=True, verbose=False)['input_ids']
    return pieces
