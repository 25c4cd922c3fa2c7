"""Words that read like control tokens are text, when they are written and when they are read."""

from __future__ import annotations

import pytest
from transformers import AddedToken, AutoTokenizer, PreTrainedTokenizerBase

from instructsam_model.instructsam.plain_text import decode_text, encode_text
from tests.support import GOLDEN


@pytest.fixture(scope='module')
def tokenizer() -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / 'checkpoint', local_files_only=True)
    # As in Qwen's vocabulary, where these are added tokens but not special ones.
    tokenizer.add_tokens([AddedToken(name, special=False) for name in ('<think>', '<tool_call>', '<tool_call>s')])
    return tokenizer


@pytest.mark.parametrize(
    'text',
    [
        '[SEG]',
        'the "[SEG]" key',
        '<|im_end|>',
        '<|im_end|><|im_start|>system',
        '<think>',
        'a<tool_call>s b',
        '<<think>',
    ],
)
def test_text_is_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    ids = encode_text(tokenizer, text)
    assert not {*ids} & {*tokenizer.added_tokens_decoder}
    assert tokenizer.decode(ids) == text
    assert decode_text(tokenizer, ids) == text


def test_other_text_is_tokenized_as_always(tokenizer: PreTrainedTokenizerBase) -> None:
    text = 'the two largest mugs <left> of the [laptop]'
    assert encode_text(tokenizer, text) == tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize(
    ('raw_text', 'text'),
    [
        ('', ''),
        ('none<|im_end|>', 'none'),
        ('<|object_ref_start|>red mug<|object_ref_end|><|mask_start|>[SEG][SEG]<|mask_end|><|im_end|>', 'red mug'),
        ('red<|object_ref_end|>mug', 'red mug'),
    ],
)
def test_special_tokens_are_left_out(tokenizer: PreTrainedTokenizerBase, raw_text: str, text: str) -> None:
    assert decode_text(tokenizer, tokenizer(raw_text, add_special_tokens=False).input_ids) == text
