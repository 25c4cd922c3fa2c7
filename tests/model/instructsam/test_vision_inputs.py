"""The precomputed inputs of the vision encoder equal those that it computes itself."""

from __future__ import annotations

import torch

from instructsam_model import Frame
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.vision_inputs import compute_vision_inputs

CPU = torch.device('cpu')


@torch.inference_mode()
def test_precomputed_inputs_do_not_change_the_output(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    visual = segmenter.network.model.visual
    several = [segmenter.preprocessor.pixels(frame, CPU) for frame in frames[:2]]
    patches, grid_thw = (torch.cat([getattr(each, name) for each in several]) for name in ('qwen', 'grid_thw'))
    ours = visual(patches, grid_thw=grid_thw, **vars(compute_vision_inputs(grid_thw, visual.config)))
    theirs = visual(patches, grid_thw=grid_thw)
    assert torch.equal(ours.pooler_output, theirs.pooler_output)


def test_only_the_lengths_stay_on_the_cpu() -> None:
    class Vision:
        num_position_embeddings, spatial_merge_size = 16, 2

    inputs = compute_vision_inputs(torch.tensor([[1, 4, 4], [1, 2, 4]]), Vision()).to(torch.device('meta'))
    assert inputs.cu_seqlens.tolist() == [0, 16, 24]
    devices = {tensor.device.type for tensor in (inputs.interp_indices, inputs.interp_weights, inputs.position_ids)}
    assert devices == {'meta'}
    assert inputs.interp_indices.shape == inputs.interp_weights.shape == (24, 4)
    assert inputs.position_ids.shape == (24, 2)
