"""`InstructSAMSegmenter` apart from its results: warm-up, and the number of CPU threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import Frame, FrameError, Instruction, load_segmenter
from instructsam_model.instructsam.answer_cache import CacheKey
from instructsam_model.instructsam.segmenter import WARM_UP_INSTRUCTION, InstructSAMSegmenter

RED_BOX = Instruction('the red box')


def answers(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> list[tuple[str, bytes]]:
    predictions = [segmenter.predict(frame, RED_BOX) for frame in frames]
    return [(each.answer, each.mask_logits.numpy().tobytes()) for each in predictions]


@pytest.mark.parametrize(
    'options', [{'speculative_decoding': True}, {'max_cached_frames': 9}], ids=lambda each: next(iter(each))
)
def test_warm_up_does_not_change_results(checkpoint: Path, frames: list[Frame], options: dict[str, int]) -> None:
    """Also for the first image of a camera without frame_id that is as blank as that of the warm-up."""
    warm, cold = (load_segmenter(checkpoint, device='cpu', dtype='float32', **options) for _ in range(2))
    warm.warm_up((64, 48))
    blank = Frame(np.zeros((48, 64, 3), dtype=np.uint8))
    assert warm.answer_cache.draft(CacheKey.of(blank, WARM_UP_INSTRUCTION)) == ()
    assert answers(warm, [blank, *frames[:2]]) == answers(cold, [blank, *frames[:2]])
    warm.warm_up((80, 60))
    assert answers(warm, frames[1:3]) == answers(cold, frames[1:3])


def test_warm_up_runs_an_image_of_the_given_size(
    segmenter: InstructSAMSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    pixels = segmenter.preprocessor.pixels
    monkeypatch.setattr(
        segmenter.preprocessor, 'pixels', lambda frame, device: sizes.append(frame.size_wh) or pixels(frame, device)
    )
    segmenter.warm_up((80, 60))
    assert sizes == [(80, 60)]
    assert segmenter.encoded_frame is None, 'the encoding of the blank image is freed'


@pytest.mark.parametrize('size_wh', [(0, 48), (4000, 1)], ids=['no pixels', 'too thin'])
def test_warm_up_refuses_an_impossible_size(segmenter: InstructSAMSegmenter, size_wh: tuple[int, int]) -> None:
    cache = segmenter.answer_cache
    with pytest.raises(FrameError):
        segmenter.warm_up(size_wh)
    assert segmenter.answer_cache is cache


def test_inference_runs_with_the_given_number_of_threads(
    checkpoint: Path, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    segmenter = load_segmenter(checkpoint, device='cpu', dtype='float32', threads=before + 1)
    used: list[int] = []
    encode = segmenter.network.model.grounding_model.encode
    monkeypatch.setattr(
        segmenter.network.model.grounding_model,
        'encode',
        lambda pixels: used.append(torch.get_num_threads()) or encode(pixels),
    )
    segmenter.segment(frames[0], RED_BOX)
    segmenter.predict(frames[1], RED_BOX)
    assert used == [before + 1, before + 1]
    assert torch.get_num_threads() == before
