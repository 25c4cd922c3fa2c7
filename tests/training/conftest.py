"""The golden checkpoint, and small runs on the golden images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from instructsam_model import load_segmenter
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from instructsam_training.config.config_file import read_config
from instructsam_training.engine.loop import train
from tests.support.small_run import GOLDEN, write_run


@pytest.fixture(scope='session')
def segmenter() -> InstructSAMSegmenter:
    return load_segmenter(GOLDEN / 'checkpoint', device='cpu', dtype='float32', speculative_decoding=False)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """The configuration file of a run in the temporary folder."""
    return write_run(tmp_path)


@pytest.fixture(scope='session')
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five steps that is not interrupted; other runs are compared with it. It writes an adapter, too."""
    folder = tmp_path_factory.mktemp('uninterrupted')
    torch.set_num_threads(1)
    train(read_config(write_run(folder), ['stages.0.steps=5', 'stages.0.output=both']))
    return folder / 'run'
