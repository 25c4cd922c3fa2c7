"""Text as tokens and back, where every word is text: none becomes a control token of the prompt or of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from transformers import PreTrainedTokenizerBase


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the token ids of text, which contain no added token of the vocabulary.

    Words that read like one ("[SEG]", "<|im_end|>", "<tool_call>"), in an instruction, a name or text in an image, are
    tokenized as the characters that they consist of, so that text cannot change the structure of a conversation.
    """
    ids: list[int] = []
    for part in _split_added_tokens(tokenizer, text):
        ids += tokenizer(part, add_special_tokens=False, split_special_tokens=True).input_ids
    return ids


def _split_added_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """Cut a text inside of each added token that `split_special_tokens` does not cover, such as Qwen's <tool_call>."""
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if not token.special]
    if not any(token in text for token in added):
        return [text]
    # After the first character, so that neither part contains the token; the longest token of several first.
    names = '|'.join(re.escape(token[1:]) for token in sorted(added, key=len, reverse=True) if len(token) > 1)
    starts = ''.join(re.escape(char) for char in sorted({token[0] for token in added}))
    return re.split(f'(?<=[{starts}])(?={names})', text)


def decode_text(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> str:
    """Return the text of token ids without special tokens, which separate words; white space is collapsed.

    For example `red mug` of `<|object_ref_start|>red mug<|object_ref_end|>`. Text that only reads like a special token
    stays.
    """
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    runs = [list(run) for is_special, run in groupby(ids, special.__contains__) if not is_special]
    words = (tokenizer.decode(run, clean_up_tokenization_spaces=False) for run in runs)
    return ' '.join(' '.join(words).split())
