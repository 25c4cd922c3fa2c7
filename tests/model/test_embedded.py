"""The checkpoint inside the package: used where none is named, and said so."""

from __future__ import annotations

import logging

import pytest
import torch

from instructsam_model import load_segmenter
from instructsam_model.embedded import FOLDER, NOTE
from instructsam_model.segmenter import InstructSAMSegmenter


@pytest.fixture(scope='module')
def segmenter() -> InstructSAMSegmenter:
    return load_segmenter(device='cpu')


def test_it_is_used_where_none_is_named_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, 'instructsam_model'):
        segmenter = load_segmenter(device='cpu')
    assert caplog.messages == [NOTE]
    assert segmenter.network.dtype == torch.float32


def test_a_named_one_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, 'instructsam_model'):
        assert load_segmenter(FOLDER, device='cpu').network.dtype == torch.bfloat16  # as it is stored
    assert not caplog.messages


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob('*')) < 40e6
