"""The back end `sam3i` beside `sam3`: concepts give the same answer to the bit; levels share the encoded image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction, Segmentation, Selection
from instructsam_model.sam3.segmenter import Sam3Segmenter
from instructsam_model.sam3i.levels import Level
from instructsam_model.sam3i.reading import LevelText
from tests.support.tiny_sam3 import load_tiny_sam3, write_tiny_meta
from tests.support.tiny_sam3i import load_tiny_sam3i

ALL = Selection(min_score=0.0)
TEXT = 'red mug, the plate'


@pytest.fixture(scope='module')
def frame() -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def described(segmentation: Segmentation) -> list[tuple[str, float, bytes, bytes]]:
    return [(each.label, each.score, each.box_xyxy.tobytes(), each.mask.tobytes()) for each in segmentation.instances]


@pytest.mark.parametrize('layout', ['transformers', 'meta'])
def test_concepts_are_segmented_as_by_sam3_to_the_bit(delta: Path, frame: Frame, layout: str, tmp_path: Path) -> None:
    ours = load_tiny_sam3i(delta, level='concept').segment(frame, Instruction(TEXT), ALL)
    if layout == 'meta':
        plain = load_tiny_sam3(write_tiny_meta(tmp_path / 'meta'))
    else:
        plain = load_tiny_sam3(delta.with_name('delta_base'), conventions='meta')
    expected = plain.segment(frame, Instruction(TEXT), ALL)
    assert described(ours) == described(expected)
    assert len(expected.instances) > 1


def test_conventions_matter(delta: Path, frame: Frame) -> None:
    """Otherwise the test before would compare what cannot differ."""
    base = delta.with_name('delta_base')
    results = [
        described(load_tiny_sam3(base, conventions=each).segment(frame, Instruction(TEXT), ALL))
        for each in ('meta', 'transformers')
    ]
    assert results[0] != results[1]


def test_levels_of_one_frame_share_its_encoding(delta: Path, frame: Frame) -> None:
    segmenter = load_tiny_sam3i(delta)
    passes: list[None] = []
    segmenter.detector.detector.model.vision_encoder.backbone.register_forward_hook(lambda *_: passes.append(None))
    prompts = [LevelText((520, 7, 9, 521, *[0] * 28), level) for level in Level]
    masks = [segmenter.predict(frame, prompt).mask_logits for prompt in prompts]
    assert len(passes) == 1
    assert not any(torch.equal(masks[first], masks[second]) for first, second in ((0, 1), (0, 2), (1, 2)))


def test_answer_and_labels(delta: Path, frame: Frame) -> None:
    segmenter = load_tiny_sam3i(delta, level='auto')
    assert isinstance(segmenter, Sam3Segmenter)
    result = segmenter.segment(frame, Instruction('the mug on the plate'), ALL)
    assert result.text == 'level: simple, guessed from the words'
    assert {instance.label for instance in result.instances} == {'the mug on the plate'}
    assert segmenter.memory_bytes() == segmenter.detector.weight_bytes()
