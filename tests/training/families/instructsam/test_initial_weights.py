"""Initial weights of a run: a checkpoint, with its own or another number of queries."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_model.instructsam.checkpoint import write_checkpoint
from instructsam_model.instructsam.parameters import QUERY_TABLES
from instructsam_model.instructsam.variant import Variant
from instructsam_training.config.options import StartConfig
from instructsam_training.families.instructsam.initial_weights import load_checkpoint, load_initial_weights
from tests.support.small_run import GOLDEN

CHECKPOINT = str(GOLDEN / 'checkpoint')


def test_checkpoint_keeps_its_queries() -> None:
    network, _ = load_initial_weights(StartConfig(CHECKPOINT), seed=0)
    stored, _ = load_checkpoint(CHECKPOINT)
    assert all(torch.equal(one, two) for one, two in zip(network.parameters(), stored.parameters(), strict=True))


def test_variant_is_set() -> None:
    network, _ = load_initial_weights(StartConfig(CHECKPOINT, variant=Variant(query_bank=False)), seed=0)
    assert not network.config.variant.query_bank


@pytest.mark.parametrize('more', [-2, 3])
def test_queries_are_dropped_or_copied_to_another_number(more: int, tmp_path: Path) -> None:
    stored, _ = load_checkpoint(CHECKPOINT)
    before = stored.config.num_queries
    network, preprocessor = load_initial_weights(StartConfig(CHECKPOINT, num_queries=before + more), seed=0)
    tensors, kept = network.state_dict(), min(before, before + more)
    for name in QUERY_TABLES:
        assert len(tensors[name]) == before + more
        assert torch.equal(tensors[name][:kept], stored.state_dict()[name][:kept])
        assert len(tensors[name].unique(dim=0)) == len(stored.state_dict()[name][:kept].unique(dim=0)) + max(more, 0)
    write_checkpoint(tmp_path / 'resized', network, preprocessor)
    assert load_checkpoint(tmp_path / 'resized')[0].config.num_queries == before + more
