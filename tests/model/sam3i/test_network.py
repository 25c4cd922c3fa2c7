"""The network of SAM3-I: concepts as in SAM3, one level per pass, shared image features, outputs for training.

Covers sam3i/text.py and sam3/layers.py.
"""

from __future__ import annotations

import pytest
import torch

from instructsam_model.sam3.features import Detections, Prompt, VisionFeatures
from instructsam_model.sam3i.levels import BRANCHES, Level
from instructsam_model.sam3i.network import PADDING_ID, Sam3I

TOKEN_IDS = torch.tensor([[520, 7, 9, 521], [520, 7, 521, PADDING_ID]])
TOKEN_IDS = torch.cat([TOKEN_IDS, torch.zeros(2, 28, dtype=torch.int64)], dim=1)


@pytest.fixture(scope='module')
def vision(network: Sam3I) -> VisionFeatures:
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.encode_image(pixels).select(torch.tensor([0, 0]))


def detect(network: Sam3I, vision: VisionFeatures, level: Level) -> Detections:
    with torch.no_grad():
        return network.detect(vision, network.prompt(network.encode_text(TOKEN_IDS, level), vision), level)


def test_concepts_are_detected_as_by_sam3_to_the_bit(network: Sam3I, vision: VisionFeatures) -> None:
    ours = detect(network, vision, Level.CONCEPT)
    detector = network.detector
    with torch.no_grad():
        text = detector.encode_text(TOKEN_IDS, TOKEN_IDS != PADDING_ID)
        plain = detector.detect(vision, text.append(detector.geometry_token(vision)), has_presence=True)
    for name in ('mask_logits', 'score_logits', 'refined_xyxy', 'region_logits', 'presence_logits'):
        assert torch.equal(getattr(ours, name), getattr(plain, name)), name


def test_without_adapters_the_text_loop_is_that_of_transformers(network: Sam3I) -> None:
    """Adapters that change nothing (T is the identity where its outputs are 0) leave SAM3's text encoder."""
    identity = {
        name: torch.zeros_like(tensor) if '.up_proj.' in name or '.out_proj.' in name else tensor
        for name, tensor in network.adapters.state_dict().items()
    }
    before = {name: tensor.clone() for name, tensor in network.adapters.state_dict().items()}
    network.adapters.load_state_dict(identity)
    try:
        with torch.no_grad():
            plain, simple, complex_ = (network.encode_text(TOKEN_IDS, level).features for level in Level)
    finally:
        network.adapters.load_state_dict(before)
    torch.testing.assert_close(simple, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(complex_, plain, rtol=0, atol=1e-5)


def test_each_level_has_its_own_answer_on_the_same_image(network: Sam3I, vision: VisionFeatures) -> None:
    masks = [detect(network, vision, level).mask_logits for level in Level]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (masks[first] - masks[second]).abs().max() > 1e-2


def test_padding_is_part_of_the_network_but_masked_in_the_prompt(network: Sam3I) -> None:
    text = network.encode_text(TOKEN_IDS, Level.SIMPLE)
    assert text.mask.sum(dim=1).tolist() == [4, 3]
    other = torch.where(TOKEN_IDS == PADDING_ID, 5, TOKEN_IDS)
    changed = network.encode_text(other, Level.SIMPLE).features
    assert not torch.allclose(text.features[:, :3], changed[:, :3])
    concept, changed = (network.encode_text(ids, Level.CONCEPT).features for ids in (TOKEN_IDS, other))
    assert torch.equal(concept[:, :3], changed[:, :3])


@pytest.mark.parametrize('level', list(Level))
def test_output_for_training_ends_with_that_of_inference(network: Sam3I, vision: VisionFeatures, level: Level) -> None:
    found = detect(network, vision, level)
    with torch.no_grad():
        predicted = network(vision, network.encode_text(TOKEN_IDS, level), level)
    layers = len(network.detector.model.detr_decoder.layers)
    assert predicted.score_logits.shape[0] == predicted.boxes_cxcywh.shape[0] == predicted.states.shape[0] == layers
    assert torch.equal(predicted.score_logits[-1], found.score_logits)
    assert torch.equal(predicted.mask_logits, found.mask_logits)
    assert found.presence_logits is not None
    assert torch.equal(predicted.presence_logits[-1], found.presence_logits[:, 0])


def test_one_to_many_queries_leave_the_others_as_they_are(network: Sam3I, vision: VisionFeatures) -> None:
    text = network.encode_text(TOKEN_IDS, Level.COMPLEX)
    with torch.no_grad():
        alone = network(vision, text, Level.COMPLEX)
        one, many = network(vision, text, Level.COMPLEX, has_one_to_many=True).split()
    for name in ('score_logits', 'boxes_cxcywh', 'mask_logits', 'presence_logits', 'region_logits'):
        torch.testing.assert_close(getattr(one, name), getattr(alone, name), rtol=1e-4, atol=1e-4)
    # They start from the same queries, but do not attend to each other.
    assert one.mask_logits.shape == many.mask_logits.shape
    assert (one.mask_logits - many.mask_logits).abs().max() > 1e-2


@pytest.mark.parametrize('level', [Level.SIMPLE, Level.COMPLEX])
def test_gradients_reach_the_adapters_of_the_level_alone(network: Sam3I, vision: VisionFeatures, level: Level) -> None:
    network.zero_grad()
    predicted = network(vision, network.encode_text(TOKEN_IDS, level), level)
    (predicted.mask_logits.square().mean() + predicted.score_logits.sum() + predicted.presence_logits.sum()).backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert all(name.startswith('adapters.') for name in moved)
    for branch in BRANCHES:
        of_branch = {name for name in moved if f'.{branch}.' in name and 'mask_predictors' not in name}
        expected = {
            f'adapters.{name}'
            for name, _ in network.adapters.named_parameters()
            if f'.{branch}.' in name and 'mask_predictors' not in name
        }
        assert of_branch == (expected if branch in level.branches else set())
    assert any(f'mask_predictors.{level.branches[-1]}' in name for name in moved)
    assert network.adapters.text[0][level.branches[0]].down_proj.weight.grad.abs().sum() > 0
    network.zero_grad()


def test_projection_averages_over_tokens_or_over_the_padding_too(network: Sam3I) -> None:
    text = Prompt(torch.randn(2, 5, 32), torch.tensor([[True, True, True, False, False], [True] * 5]))
    assert network.adapters.projector is not None
    own = network.project(text)
    torch.testing.assert_close(own[0], network.adapters.projector(text.features[0, :3].mean(dim=0)))
    padded = network.project(text, has_padding=True)
    torch.testing.assert_close(padded[0], network.adapters.projector(text.features[0].mean(dim=0)))
    torch.testing.assert_close(own[1], padded[1])
