"""Checkpoints of a tiny SAM3-I, each written once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_model.sam3i.network import Sam3I
from tests.support.tiny_sam3 import write_tiny_meta
from tests.support.tiny_sam3i import make_tiny_sam3i, write_tiny_public, write_tiny_sam3i


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Random states of a test are the same in every run, and with them the rounding."""
    torch.manual_seed(0)


@pytest.fixture(scope='package')
def network(tmp_path_factory: pytest.TempPathFactory) -> Sam3I:
    return make_tiny_sam3i(write_tiny_meta(tmp_path_factory.mktemp('network')))


@pytest.fixture(scope='package')
def delta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of our layout; SAM3 is in `delta_base`, with the same weights as that of `network`."""
    return write_tiny_sam3i(tmp_path_factory.mktemp('own') / 'delta')


@pytest.fixture(scope='package')
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the public layout with the same weights."""
    return write_tiny_public(tmp_path_factory.mktemp('public') / 'weights')
