"""What the vision encoder is given is what it would compute itself."""

from __future__ import annotations

import torch

from instructsam_model import Frame
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.vision_inputs import compute_vision_inputs

CPU = torch.device('cpu')


@torch.inference_mode()
def test_given_inputs_change_nothing(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    visual = segmenter.network.model.visual
    several = [segmenter.preprocessor.pixels(frame, CPU) for frame in frames[:2]]
    patches, grid_thw = (torch.cat([getattr(each, name) for each in several]) for name in ('qwen', 'grid_thw'))
    ours = visual(patches, grid_thw=grid_thw, **vars(compute_vision_inputs(grid_thw, visual.config)))
    theirs = visual(patches, grid_thw=grid_thw)
    assert torch.equal(ours.pooler_output, theirs.pooler_output)


def test_lengths_stay_on_the_cpu_and_the_rest_moves() -> None:
    class Vision:
        num_position_embeddings, spatial_merge_size = 16, 2

    given = compute_vision_inputs(torch.tensor([[1, 4, 4], [1, 2, 4]]), Vision()).to(torch.device('meta'))
    assert given.cu_seqlens.tolist() == [0, 16, 24]
    devices = {tensor.device.type for tensor in (given.interp_indices, given.interp_weights, given.position_ids)}
    assert devices == {'meta'}
    assert given.interp_indices.shape == given.interp_weights.shape == (24, 4)
    assert given.position_ids.shape == (24, 2)
