"""Differences between half precision and float32, on images for the embedded checkpoint.

Covers sam3.boxes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from instructsam_model import Frame, Instruction, Segmentation, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.engine.static import StaticEngine
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.masks import mask_iou
from instructsam_model.runtime.compilation import run_eagerly
from instructsam_model.runtime.graphs import run_directly
from instructsam_model.weights import embedded
from tests.support import GOLDEN

TABLES = GOLDEN / 'tabletop'
SCORE_DRIFT = 0.03
BOX_DRIFT = 0.005
"""Relative to the image's sides."""
MEAN_MASK_IOU = 0.997

pytestmark = pytest.mark.skipif(not embedded.FOLDER.is_dir(), reason='this installation has no embedded checkpoint')


@dataclass(frozen=True)
class Result:
    prediction: Prediction
    segmentation: Segmentation


def answer_all(segmenter: InstructSAMSegmenter) -> list[Result]:
    results = []
    for question in json.loads((TABLES / 'questions.json').read_text()):
        frame, instruction = Frame(read_image(TABLES / question['image'])), Instruction(question['instruction'])
        results.append(Result(segmenter.predict(frame, instruction), segmenter.segment(frame, instruction)))
    return results


@pytest.fixture(scope='module')
def exact() -> list[Result]:
    return answer_all(load_segmenter(device='cpu', dtype='float32'))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
@pytest.mark.parametrize('engine', ['reference', 'static'])
def test_half_precision_changes_results_little(exact: list[Result], dtype: str, engine: str) -> None:
    segmenter = load_segmenter(device='cpu', dtype=dtype)
    if engine == 'static':
        segmenter.engine = StaticEngine(segmenter.network, capture=run_directly, compile_=run_eagerly)
    overlaps = []
    for half, whole in zip(answer_all(segmenter), exact, strict=True):
        assert half.prediction.answer == whole.prediction.answer
        ours, theirs = half.prediction, whole.prediction
        torch.testing.assert_close(ours.scores.float(), theirs.scores, rtol=0, atol=SCORE_DRIFT)
        kept = theirs.scores > 0.5
        torch.testing.assert_close(ours.box_xyxy[kept], theirs.box_xyxy[kept], rtol=0, atol=BOX_DRIFT)
        instances = zip(half.segmentation.instances, whole.segmentation.instances, strict=True)
        overlaps += [mask_iou(one.mask, other.mask) for one, other in instances]
    assert len(overlaps) > 10
    assert np.mean(overlaps) > MEAN_MASK_IOU


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_boxes_and_their_parameters_are_float32(dtype: str) -> None:
    network = load_segmenter(device='cpu', dtype=dtype).network
    decoder = network.model.grounding_model.model.detr_decoder
    assert {parameter.dtype for parameter in decoder.box_head.parameters()} == {torch.float32}
    assert decoder.reference_points.weight.dtype == torch.float32
    assert {parameter.dtype for parameter in decoder.layers.parameters()} == {getattr(torch, dtype)}


def test_position_encodings_are_computed_in_float32() -> None:
    """Computed in bfloat16 they would differ by up to 0.03."""
    grounding = load_segmenter(device='cpu', dtype='bfloat16').network.model.grounding_model
    shape = torch.Size((1, grounding.model.config.vision_config.fpn_hidden_size, 40, 40))
    exact = grounding.map_positions(shape, torch.device('cpu'), torch.float32)
    half = grounding.map_positions(shape, torch.device('cpu'), torch.bfloat16)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.004)
