"""NaN or infinity in a stage is an error that names it, in both engines, and the next result is right again.

Before, each of them gave "nothing found".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from instructsam_model import Frame, Instruction, Segmentation, load_segmenter
from instructsam_model.errors import NonFiniteError
from instructsam_model.instructsam.engine.static import StaticEngine
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.runtime.compilation import run_eagerly
from instructsam_model.runtime.graphs import run_directly

RED_BALL = Instruction("Please segment 'red ball'.")
STAGES = {
    'language model: logits or hidden states': lambda network: network.model.language_model.norm.weight,
    'SAM3 image encoder: level': lambda network: detector(network).vision_encoder.neck.fpn_layers[1].proj2.bias,
    'SAM3 decoder: masks are': lambda network: detector(network).mask_decoder.instance_projection.bias,
    'SAM3 decoder: scores are': lambda network: detector(network).dot_product_scoring.query_proj.bias,
    'SAM3 decoder: .*boxes': lambda network: detector(network).detr_decoder.reference_points.weight,
}


def detector(network: InstructSAM) -> torch.nn.Module:
    model: torch.nn.Module = network.model.grounding_model.model
    return model


@pytest.fixture(scope='module', params=['reference', 'static'])
def opened(request: pytest.FixtureRequest, checkpoint: Path) -> InstructSAMSegmenter:
    loaded = load_segmenter(checkpoint, device='cpu', dtype='float32', speculative_decoding=False)
    if request.param == 'reference':
        return loaded
    engine = StaticEngine(loaded.network, capture=run_directly, compile_=run_eagerly)
    return InstructSAMSegmenter(loaded.network, loaded.preprocessor, engine=engine)


@pytest.fixture(scope='module')
def expected(opened: InstructSAMSegmenter, frames: list[Frame]) -> Segmentation:
    return opened.segment(frames[0], RED_BALL)


@contextmanager
def poisoned(parameter: Tensor, value: float) -> Iterator[None]:
    before = parameter.detach().clone()
    with torch.inference_mode(mode=False), torch.no_grad():
        parameter.view(-1)[0] = value
    yield
    with torch.inference_mode(mode=False), torch.no_grad():
        parameter.copy_(before)


@pytest.mark.parametrize('stage', STAGES)
def test_stage_is_named_and_the_same_frame_works_afterwards(
    stage: str, opened: InstructSAMSegmenter, frames: list[Frame], expected: Segmentation
) -> None:
    """Also infinity; nothing of the failed request stays in a cache, where it would poison later results."""
    frame = Frame(frames[0].image_rgb)
    for value in (math.nan, math.inf) if 'masks' in stage else (math.nan,):
        with poisoned(STAGES[stage](opened.network), value), pytest.raises(NonFiniteError, match=stage):
            opened.segment(frame, RED_BALL)
    after = opened.segment(frame, RED_BALL)
    assert after.raw_text == expected.raw_text
    assert [each.score for each in after.instances] == [each.score for each in expected.instances]
