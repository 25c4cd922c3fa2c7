"""The checkpoint inside the package: used where none is named, and said so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from instructsam_model import CheckpointError, embedded, load_segmenter


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> Path:
    """Another checkpoint in the place of the embedded one."""
    monkeypatch.setattr(embedded, 'FOLDER', checkpoint)
    return checkpoint


def test_it_is_used_where_none_is_named_and_says_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, 'instructsam_model'):
        segmenter = load_segmenter(device='cpu')
        assert caplog.messages == [embedded.NOTE]
        load_segmenter(folder, device='cpu')
        assert len(caplog.messages) == 1
    assert segmenter.network.dtype == torch.float32
    assert load_segmenter(device='cpu', dtype='bfloat16').network.dtype == torch.bfloat16


def test_without_one_a_checkpoint_must_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, 'FOLDER', tmp_path / 'nowhere')
    with pytest.raises(CheckpointError, match='none inside: expected a folder or a hub id'):
        load_segmenter(device='cpu')
