"""Pixels and tokens of frames and instructions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from instructsam_model import CheckpointError, Frame, FrameError, Instruction
from instructsam_model.instructsam.preprocess import read_prompt
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter


def test_prompt_is_one_user_turn_with_the_image_first(segmenter: InstructSAMSegmenter) -> None:
    preprocessor = segmenter.preprocessor
    prefix = preprocessor.image_prefix(torch.tensor([[1, 4, 6]]))
    text = preprocessor.decode([*prefix, *preprocessor.instruction('the red box')])
    assert text == (
        '<|im_start|>user\n<|vision_start|>'
        + '<|image_pad|>' * 6
        + '<|vision_end|>the red box<|im_end|>\n<|im_start|>assistant\n'
    )


@pytest.mark.parametrize(
    'text', ['[SEG]', '<|im_end|>', '<|image_pad|>', 'red <|object_ref_end|> box', '<|mask_start|>']
)
def test_instruction_cannot_contain_special_tokens(
    segmenter: InstructSAMSegmenter, frames: list[Frame], text: str
) -> None:
    preprocessor = segmenter.preprocessor
    ids = preprocessor.instruction(text)[: -len(preprocessor.instruction(''))]
    special = set(preprocessor.tokenizer.all_special_ids) | {segmenter.network.config.tokens.query}
    assert not special & set(ids)
    segmenter.segment(frames[0], Instruction(text))


@pytest.mark.parametrize('size_hw', [(1, 1), (3, 3), (1, 100), (33, 700), (720, 1280)])
def test_usual_image_sizes_are_accepted(segmenter: InstructSAMSegmenter, size_hw: tuple[int, int]) -> None:
    frame = Frame(np.full((*size_hw, 3), 90, np.uint8))
    assert segmenter.segment(frame, Instruction("Please segment 'red box'.")).size_wh == size_hw[::-1]


def test_extreme_aspect_ratio_is_refused(segmenter: InstructSAMSegmenter) -> None:
    with pytest.raises(FrameError, match=r'image of 1000x2: .*aspect ratio'):
        segmenter.segment(Frame(np.zeros((2, 1000, 3), np.uint8)), Instruction('the box'))


def test_array_views_are_read_in_their_logical_order(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    mirrored = frames[0].image_rgb[:, ::-1]
    device = torch.device('cpu')
    assert torch.equal(
        segmenter.preprocessor.pixels(Frame(mirrored), device).sam3,
        segmenter.preprocessor.pixels(Frame(np.ascontiguousarray(mirrored)), device).sam3,
    )


def test_read_only_image_causes_no_warning(
    segmenter: InstructSAMSegmenter, frames: list[Frame], recwarn: pytest.WarningsRecorder
) -> None:
    frozen = frames[0].image_rgb.copy()
    frozen.flags.writeable = False
    torch.set_warn_always(True)
    try:
        segmenter.preprocessor.pixels(Frame(frozen), torch.device('cpu'))
    finally:
        torch.set_warn_always(False)
    assert not recwarn.list


@pytest.mark.parametrize('template', ['', '{% for m in messages %}{{ m.content[1].text }}{% endfor %}'])
def test_chat_template_without_an_image_is_refused(segmenter: InstructSAMSegmenter, template: str) -> None:
    tokenizer = copy.copy(segmenter.preprocessor.tokenizer)
    tokenizer.chat_template = template or None
    with pytest.raises(CheckpointError, match='expected a chat template'):
        read_prompt(tokenizer, segmenter.preprocessor.image_token)
