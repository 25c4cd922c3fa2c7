"""Ablations of the method: written, read and run like the full method, with other results.

Covers instructsam/variant.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from instructsam_model import CheckpointError, ConfigError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.variant import Variant
from tests.support.conversation import assert_close, conversation

QUESTION = "Please segment 'green ball and red box'."
VARIANTS = [
    Variant(query_bank=False, hybrid_attention=False),
    Variant(hybrid_attention=False),
    Variant(phrase_condition=False),
    Variant(conditioned_queries=False),
]


@pytest.mark.parametrize(
    'variant', VARIANTS, ids=lambda variant: ', '.join(k for k, v in vars(variant).items() if not v)
)
@torch.inference_mode()
def test_variant_is_stored_runs_and_matters(
    segmenter: InstructSAMSegmenter, checkpoint: Path, frames: list[Frame], tmp_path: Path, variant: Variant
) -> None:
    network = load_segmenter(checkpoint, device='cpu', dtype='float32').network
    network.config = replace(network.config, variant=variant)
    write_checkpoint(tmp_path / 'variant', network, segmenter.preprocessor)
    loaded = load_segmenter(tmp_path / 'variant', device='cpu', dtype='float32')
    assert loaded.network.config.variant == variant
    prediction = loaded.predict(frames[4], Instruction(QUESTION))
    inputs = conversation(loaded, frames[4], QUESTION, list(prediction.phrases))
    assert_close(prediction, loaded.network(inputs))  # inference does what training does, in every variant
    whole = segmenter.network(inputs)
    assert float((whole.mask_logits - loaded.network(inputs).mask_logits).abs().max()) > 0.1


@torch.inference_mode()
def test_ablations_of_a_trained_network_are_options_of_its_inference(
    segmenter: InstructSAMSegmenter, checkpoint: Path, frames: list[Frame]
) -> None:
    """Table 7: the same weights and the same generated text; SAM3 gets token 0, or its own queries."""
    whole = segmenter.predict(frames[4], Instruction(QUESTION))
    network = segmenter.network
    dummy = network.model.text_hidden_fcs[0](network.model.language_model.embed_tokens.weight[0])
    own = network.model.grounding_model.model.detr_decoder.query_embed.weight
    for ablation in ('no_phrase', 'no_queries'):
        ablated = load_segmenter(checkpoint, device='cpu', dtype='float32', ablation=ablation)
        prediction = ablated.predict(frames[4], Instruction(QUESTION))
        assert prediction.answer == whole.answer
        torch.testing.assert_close(prediction.query_states, whole.query_states)
        assert float((prediction.mask_logits - whole.mask_logits).abs().max()) > 0.1
        if ablation == 'no_phrase':
            # One token for every phrase, whatever its length; the rest is padding.
            torch.testing.assert_close(prediction.phrase_embeds[:, 0], dummy.expand(len(prediction.phrases), -1))
            assert not prediction.phrase_embeds[:, 1:].any()
            torch.testing.assert_close(prediction.query_embeds, whole.query_embeds)
        else:
            torch.testing.assert_close(prediction.query_embeds, own.expand_as(prediction.query_embeds))
            torch.testing.assert_close(prediction.phrase_embeds, whole.phrase_embeds)
    with pytest.raises(ConfigError, match='ablation: expected one of none, no_phrase, no_queries'):
        load_segmenter(checkpoint, ablation='no_masks')


def test_unknown_part_lists_the_known_ones(checkpoint_copy: Path) -> None:
    file = checkpoint_copy / 'config.json'
    file.write_text(json.dumps({**json.loads(file.read_text()), 'instructsam_variant': {'querybank': False}}))
    with pytest.raises(CheckpointError, match=r'expected some of query_bank, hybrid_attention.*got querybank'):
        load_segmenter(checkpoint_copy, device='cpu', dtype='float32')
