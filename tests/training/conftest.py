"""The golden checkpoint, and small runs on the golden pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import GOLDEN, write_run

from instructsam_model import load_segmenter
from instructsam_model.segmenter import InstructSAMSegmenter


@pytest.fixture(scope='session')
def segmenter() -> InstructSAMSegmenter:
    return load_segmenter(GOLDEN / 'checkpoint', device='cpu')


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """The configuration of a run below the test's folder."""
    return write_run(tmp_path)
