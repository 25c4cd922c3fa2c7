"""Special tokens in the text of the language model, and the text without them."""

from __future__ import annotations

import re

SPECIAL_TOKENS = re.compile(r'<\|.*?\|>|\[SEG\]')


def plain_text(raw_text: str) -> str:
    """Return the text without special tokens, white space collapsed: `red mug` of `<|object_ref_start|>red mug...`."""
    return ' '.join(SPECIAL_TOKENS.sub(' ', raw_text).split())
