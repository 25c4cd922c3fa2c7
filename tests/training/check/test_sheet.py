"""The sheet of samples as the network sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import encode_rle
from instructsam_training.check.sheet import draw_input, draw_sheet, split_conversation
from instructsam_training.config.data_options import DataConfig
from instructsam_training.data.batch import Example, ExampleBuilder
from instructsam_training.data.sample import Annotation, Sample
from tests.support.faulty_data import SIZE_HW, write_image


@pytest.fixture
def example(segmenter: InstructSAMSegmenter, tmp_path: Path) -> Example:
    write_image(tmp_path / 'image.png')
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[30:40, 40:60] = True
    sample = Sample(tmp_path / 'image.png', SIZE_HW, (Annotation('phrase', 'gray', 'gray', (encode_rle(mask),)),))
    builder = ExampleBuilder.for_training(segmenter.preprocessor, segmenter.network, DataConfig())
    return builder.build(sample, '0')


def test_masks_are_drawn_over_the_pixels_of_the_network(example: Example) -> None:
    drawn = np.asarray(draw_input(example)).astype(int)
    height, width = drawn.shape[:2]
    # Centers of the red box of the image, of the mask, and of neither.
    red, mask, other = (
        drawn[int(y / SIZE_HW[0] * height), int(x / SIZE_HW[1] * width)] for y, x in ((14, 18), (35, 50), (5, 60))
    )
    assert red.tolist() == pytest.approx([200, 30, 30], abs=3)
    assert mask.tolist() == pytest.approx([(128 + part) // 2 for part in (230, 159, 0)], abs=4)
    assert other.tolist() == pytest.approx([128] * 3, abs=3)


def test_trained_tokens_are_marked(segmenter: InstructSAMSegmenter, example: Example) -> None:
    pieces = split_conversation(example, segmenter.preprocessor, segmenter.network.config)
    trained = ''.join(text for text, is_trained in pieces if is_trained)
    assert trained == '<|object_ref_start|>gray<|object_ref_end|><|mask_start|><|im_end|>'
    given = ''.join(text for text, is_trained in pieces if not is_trained)
    assert '[SEG]x4 <|mask_end|>' in given
    assert given.count('<|image_pad|>') == 1


def test_a_sheet_without_samples_is_blank(segmenter: InstructSAMSegmenter, tmp_path: Path) -> None:
    draw_sheet(tmp_path / 'sheet.png', [], segmenter.preprocessor, segmenter.network.config)
    with Image.open(tmp_path / 'sheet.png') as sheet:
        assert sheet.getextrema() == ((255, 255),) * 3
