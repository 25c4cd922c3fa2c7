"""Text of the model without its special tokens."""

from __future__ import annotations

import pytest

from instructsam_model.instructsam.special_text import plain_text


@pytest.mark.parametrize(
    ('raw_text', 'text'),
    [
        ('', ''),
        ('none<|im_end|>', 'none'),
        ('<|object_ref_start|>red mug<|object_ref_end|><|mask_start|>[SEG][SEG]<|mask_end|><|im_end|>', 'red mug'),
    ],
)
def test_special_tokens_are_left_out(raw_text: str, text: str) -> None:
    assert plain_text(raw_text) == text
