"""What `load_segmenter` gives beside answers: warming up, and the threads that it computes with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from instructsam_model import Frame, FrameError, Instruction, load_segmenter
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter

ASKED = Instruction('the red box')


def answers(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> list[tuple[str, bytes]]:
    predictions = [segmenter.predict(frame, ASKED) for frame in frames]
    return [(each.answer, each.mask_logits.numpy().tobytes()) for each in predictions]


@pytest.mark.parametrize(
    'options', [{'speculative_decoding': True}, {'max_cached_frames': 9}], ids=lambda each: next(iter(each))
)
def test_warming_up_leaves_no_trace(checkpoint: Path, frames: list[Frame], options: dict[str, int]) -> None:
    """Not even for a camera without a name whose first picture is as blank and is asked about in the same words."""
    warm, cold = (load_segmenter(checkpoint, device='cpu', dtype='float32', **options) for _ in range(2))
    warm.warm_up((64, 48))
    blank = Frame(np.zeros((48, 64, 3), dtype=np.uint8))
    assert warm._memory.draft(('', 'warm up')) == ()
    assert answers(warm, [blank, *frames[:2]]) == answers(cold, [blank, *frames[:2]])
    warm.warm_up((80, 60))
    assert answers(warm, frames[1:3]) == answers(cold, frames[1:3])


def test_warming_up_sees_a_picture_of_that_size(
    segmenter: InstructSAMSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    pixels = segmenter.preprocessor.pixels
    monkeypatch.setattr(
        segmenter.preprocessor, 'pixels', lambda frame, device: seen.append(frame.size_wh) or pixels(frame, device)
    )
    segmenter.warm_up((80, 60))
    assert seen == [(80, 60)]
    assert segmenter._seen is None, 'the blank picture is let go of'


@pytest.mark.parametrize('size_wh', [(0, 48), (4000, 1)], ids=['no pixels', 'too thin'])
def test_a_size_that_cannot_be_seen_is_refused(segmenter: InstructSAMSegmenter, size_wh: tuple[int, int]) -> None:
    memory = segmenter._memory
    with pytest.raises(FrameError):
        segmenter.warm_up(size_wh)
    assert segmenter._memory is memory


def test_an_answer_is_computed_with_the_threads_that_were_asked_for(
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
    segmenter.segment(frames[0], ASKED)
    segmenter.predict(frames[1], ASKED)
    assert used == [before + 1, before + 1]
    assert torch.get_num_threads() == before
