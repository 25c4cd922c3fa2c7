"""The network against what the public implementation computes (tests/golden), and against itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from instructsam_model import Frame, Instruction, load_segmenter
from instructsam_model.instructsam.checkpoint import build_empty, parameter_shapes
from instructsam_model.instructsam.inputs import DenseInputs, DetectorInputs, ModelInputs, Pixels, TextInputs
from instructsam_model.instructsam.layout import share_queries
from instructsam_model.instructsam.network import InstructSAM
from instructsam_model.instructsam.prediction import Prediction
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.variant import Variant
from instructsam_model.masks import mask_iou
from tests.support import GOLDEN
from tests.support.full_size import published_config

PIXELS = ('qwen', 'grid_thw', 'sam3')
FIELDS = ('query_states', 'query_embeds', 'phrase_embeds', 'score_logits', 'mask_logits', 'refined_xyxy')


def conversation(segmenter: InstructSAMSegmenter, frame: Frame, instruction: str, phrases: list[str]) -> ModelInputs:
    """A question with its whole answer, as training packs it."""
    preprocessor, config = segmenter.preprocessor, segmenter.network.config
    tokens = config.tokens
    pixels = preprocessor.pixels(frame, torch.device('cpu'))
    ids = [*preprocessor.image_prefix(pixels.grid_thw), *preprocessor.instruction(instruction)]
    for index, phrase in enumerate(phrases):
        ids += preprocessor.text(', ') if index else []
        ids += [tokens.ref_start, *preprocessor.text(phrase), tokens.ref_end]
        ids += [tokens.mask_start, *[tokens.query] * config.num_queries, tokens.mask_end]
    phrase_ids, phrase_mask = torch.zeros(len(phrases), 32, dtype=torch.long), torch.zeros(len(phrases), 32).bool()
    for row, phrase in enumerate(phrases):
        words = preprocessor.text(phrase)
        phrase_ids[row, : len(words)], phrase_mask[row, : len(words)] = torch.tensor(words), True
    input_ids = torch.tensor([ids])
    owner = torch.zeros(len(phrases), dtype=torch.long)
    return ModelInputs(input_ids, torch.ones_like(input_ids).bool(), pixels, phrase_ids, phrase_mask, owner)


def assert_close(ours: Prediction, theirs: Prediction) -> None:
    for field in FIELDS:
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), rtol=1e-4, atol=1e-3, msg=field)


@torch.inference_mode()
def test_generation_with_a_cache_equals_training_over_the_packed_sequence(
    segmenter: InstructSAMSegmenter, frames: list[Frame], golden: dict[str, Any]
) -> None:
    """`protocol="trained"`: same positions, visibility and phrase tokens, so the same queries, masks and scores."""
    for entry, frame in zip(golden['generate'], frames, strict=True):
        generated = segmenter.predict(frame, Instruction(entry['instruction']))
        inputs = conversation(segmenter, frame, entry['instruction'], list(generated.phrases))
        assert_close(generated, segmenter.network(inputs))


@torch.inference_mode()
def test_batch_with_padding_equals_each_picture_alone(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    smaller = Frame(np.ascontiguousarray(frames[1].image_rgb[:160, :200]))
    singles = [
        conversation(segmenter, frames[0], "Please segment 'red box'.", ['red box', 'ball']),
        conversation(segmenter, smaller, "Please segment 'ball'.", ['ball']),
    ]
    length = max(single.input_ids.shape[1] for single in singles)

    def pad(row: Tensor) -> Tensor:
        return torch.nn.functional.pad(row, (0, length - row.shape[1]))

    batch = ModelInputs(
        input_ids=torch.cat([pad(single.input_ids) for single in singles]),
        attention_mask=torch.cat([pad(single.attention_mask) for single in singles]),
        pixels=Pixels(*(torch.cat([getattr(single.pixels, name) for single in singles]) for name in PIXELS)),
        phrase_ids=torch.cat([single.phrase_ids for single in singles]),
        phrase_mask=torch.cat([single.phrase_mask for single in singles]),
        phrase_owner=torch.tensor([0, 0, 1]),
    )
    together = segmenter.network(batch)
    for rows, single in zip((slice(0, 2), slice(2, 3)), singles, strict=True):
        alone = segmenter.network(single)
        ours = {name: getattr(together, name)[rows] for name in FIELDS[:-1]}
        assert_close(replace(together, **ours, refined_xyxy=together.refined_xyxy[:, rows]), alone)


def detector_inputs(inputs: ModelInputs) -> DetectorInputs:
    """The images and phrases of conversations, without their text."""
    return DetectorInputs(inputs.pixels, inputs.phrase_ids, inputs.phrase_mask, inputs.phrase_owner)


@torch.inference_mode()
def test_shared_queries_are_those_of_the_first_phrase_scored_for_each(
    segmenter: InstructSAMSegmenter, frames: list[Frame]
) -> None:
    network = segmenter.network
    first, other = (
        conversation(segmenter, frame, "Please segment 'ball'.", ['ball', 'red box']) for frame in frames[:2]
    )
    inputs = DetectorInputs(
        pixels=Pixels(*(torch.cat([getattr(each.pixels, name) for each in (first, other)]) for name in PIXELS)),
        phrase_ids=torch.cat([first.phrase_ids, other.phrase_ids]),
        phrase_mask=torch.cat([first.phrase_mask, other.phrase_mask]),
        phrase_owner=torch.tensor([0, 0, 1, 1]),
    )
    apart = network(inputs)
    shared = network(replace(inputs, sharing=share_queries(inputs.phrase_owner)))
    for row, source in enumerate([0, 0, 2, 2]):
        torch.testing.assert_close(shared.mask_logits[row], apart.mask_logits[source], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(shared.refined_xyxy[:, row], apart.refined_xyxy[:, source], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(shared.score_logits[[0, 2]], apart.score_logits[[0, 2]], rtol=1e-4, atol=1e-3)
    assert not torch.allclose(shared.score_logits[1], shared.score_logits[0])


@torch.inference_mode()
def test_locations_are_scored_with_and_without_queries(segmenter: InstructSAMSegmenter, frames: list[Frame]) -> None:
    network = segmenter.network
    inputs = detector_inputs(conversation(segmenter, frames[0], "Please segment 'ball'.", ['ball', 'red box']))
    dense = DenseInputs(inputs.pixels, inputs.phrase_ids, inputs.phrase_mask, inputs.phrase_owner)
    with_queries, alone = network(inputs), network(dense)
    assert with_queries.location_logits.shape == alone.location_logits.shape
    assert alone.mask_logits.shape[:2] == (2, 0)
    assert not torch.allclose(alone.location_logits[0], alone.location_logits[1])
    # The image encoder does not depend on the phrase, so its features are scored alike in any order of the phrases.
    swapped = replace(dense, phrase_ids=dense.phrase_ids.flip(0), phrase_mask=dense.phrase_mask.flip(0))
    torch.testing.assert_close(network(swapped).location_logits, alone.location_logits.flip(0), rtol=1e-4, atol=1e-3)


@torch.inference_mode()
def test_text_pass_has_the_logits_of_the_full_pass_and_no_phrases(
    segmenter: InstructSAMSegmenter, frames: list[Frame]
) -> None:
    inputs = conversation(segmenter, frames[0], "Please segment 'ball'.", ['ball', 'red box'])
    inputs = replace(inputs, logit_mask=inputs.attention_mask)
    text = TextInputs(inputs.input_ids, inputs.attention_mask, inputs.pixels, logit_mask=inputs.logit_mask)
    prediction = segmenter.network(text)
    assert torch.equal(prediction.answer_logits, segmenter.network(inputs).answer_logits)
    assert prediction.mask_logits.shape[0] == 0


@pytest.mark.parametrize('variant', [Variant(phrase_condition=False), Variant(query_bank=False)])
@torch.inference_mode()
def test_detector_pass_is_the_same_in_every_variant(
    checkpoint: Path, segmenter: InstructSAMSegmenter, frames: list[Frame], variant: Variant
) -> None:
    """SAM3 is pretrained alone before the network learns a variant of the method."""
    network = load_segmenter(checkpoint, device='cpu', dtype='float32').network
    network.config = replace(network.config, variant=variant)
    inputs = detector_inputs(conversation(segmenter, frames[0], "Please segment 'ball'.", ['ball', 'red box']))
    assert torch.equal(network(inputs).mask_logits, segmenter.network(inputs).mask_logits)


def test_full_size_has_exactly_the_published_tensors() -> None:
    published = json.loads((GOLDEN / 'published_tensors.json').read_text())
    shapes = parameter_shapes(build_empty(published_config()))
    assert len(shapes) == 1704
    assert {name: list(shape) for name, shape in shapes.items()} == published


def test_every_parameter_that_the_paper_trains_gets_a_gradient(
    segmenter: InstructSAMSegmenter, frames: list[Frame]
) -> None:
    network: InstructSAM = segmenter.network
    inputs = conversation(segmenter, frames[0], 'Which thing could a child bounce?', ['ball'])
    trained = {
        'queries': network.model.mask_queries,
        'query projection': network.model.mask_hidden_fcs[0][0].weight,
        'phrase projection': network.model.text_hidden_fcs[0][0].weight,
        'language model': network.model.language_model.layers[0].self_attn.q_proj.weight,
        'decoder': network.model.grounding_model.model.detr_decoder.layers[0].self_attn.q_proj.weight,
        'boxes': network.model.grounding_model.model.detr_decoder.reference_points.weight,
    }
    try:
        for parameter in trained.values():
            parameter.requires_grad_(True)
        prediction = network(inputs)
        (prediction.mask_logits.mean() + prediction.scores.mean() + prediction.box_xyxy.mean()).backward()
        missing = [name for name, each in trained.items() if each.grad is None or not each.grad.abs().sum() > 0]
    finally:
        for parameter in trained.values():
            parameter.requires_grad_(False).grad = None
    assert not missing


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision_keeps_the_masks(
    checkpoint: Path, segmenter: InstructSAMSegmenter, frames: list[Frame], dtype: str
) -> None:
    half = load_segmenter(checkpoint, device='cpu', dtype=dtype)
    for frame in frames[:3]:
        for text in ("Please segment 'green box'.", "Please segment 'purple cone'."):
            ours, reference = (each.segment(frame, Instruction(text)) for each in (half, segmenter))
            assert len(ours.instances) == len(reference.instances)
            for one, other in zip(ours.instances, reference.instances, strict=True):
                assert mask_iou(one.mask, other.mask) > 0.98
                assert one.score == pytest.approx(other.score, abs=0.03)
