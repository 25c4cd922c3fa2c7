"""Naive inference gives the same results as the segmenter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from instructsam_model import Frame, Instruction, Selection
from instructsam_model.bench.instructsam.naive import NaivePipeline
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou


@pytest.mark.parametrize(('resized_by', 'min_iou', 'max_difference'), [('pillow', 0.98, 0.02), ('torch', 0.999, 1e-4)])
def test_naive_inference_gives_the_same_masks(
    segmenter: InstructSAMSegmenter,
    frames: list[Frame],
    golden: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    resized_by: str,
    min_iou: float,
    max_difference: float,
) -> None:
    """Pillow rounds differently from torch when it resizes, so results are not equal bit for bit."""
    naive = NaivePipeline(segmenter)
    if resized_by == 'torch':
        device = segmenter.network.device
        monkeypatch.setattr(naive, '_resize', lambda frame: segmenter.preprocessor.pixels(frame, device))
    compared = 0
    for entry, frame in zip(golden['generate'], frames, strict=True):
        instruction = Instruction(entry['instruction'])
        masks, scores = naive.segment(frame, instruction)
        ours = segmenter.segment(frame, instruction, Selection(min_score=0.3))
        kept = [slot for slot in np.argsort(-scores) if scores[slot] > 0.3 and masks[slot].any()]
        assert len(kept) == len(ours.instances)
        for slot, instance in zip(kept, ours.instances, strict=True):
            assert abs(scores[slot] - instance.score) <= max_difference
            assert mask_iou(masks[slot], instance.mask) >= min_iou
            compared += 1
    assert compared > 3


def test_answer_without_a_phrase_has_no_masks(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    naive = NaivePipeline(segmenter, max_new_tokens=1)
    masks, scores = naive.segment(frames[0], Instruction('Where is the box?'))
    assert (len(masks), len(scores)) == (0, 0)
