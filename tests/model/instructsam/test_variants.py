"""Ablations of the method: written, read and run like the full method, with other results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from instructsam_model import CheckpointError, Frame, Instruction, load_segmenter
from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_model.instructsam.variant import Variant
from tests.model.instructsam.test_checkpoint import edit_json
from tests.model.instructsam.test_network import assert_close, conversation

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


def test_unknown_part_lists_the_known_ones(checkpoint_copy: Path) -> None:
    edit_json(checkpoint_copy / 'config.json', instructsam_variant={'querybank': False})
    with pytest.raises(CheckpointError, match=r'expected some of query_bank, hybrid_attention.*got querybank'):
        load_segmenter(checkpoint_copy, device='cpu', dtype='float32')
