"""Fixtures: the golden checkpoint and its images, see tests/golden/README.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from instructsam_model import Frame, load_segmenter
from instructsam_model.image_io import read_image
from instructsam_model.instructsam.segmenter import InstructSAMSegmenter
from tests.support import GOLDEN


@pytest.fixture(scope='session')
def golden() -> dict[str, Any]:
    return json.loads((GOLDEN / 'golden.json').read_text())


@pytest.fixture(scope='session')
def checkpoint() -> Path:
    return GOLDEN / 'checkpoint'


@pytest.fixture(scope='session')
def segmenter(checkpoint: Path) -> InstructSAMSegmenter:
    return load_segmenter(checkpoint, device='cpu', dtype='float32', speculative_decoding=False)


@pytest.fixture(scope='session')
def frames() -> list[Frame]:
    return [Frame(read_image(file)) for file in sorted((GOLDEN / 'images').iterdir())]


@pytest.fixture
def checkpoint_copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the golden checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / 'checkpoint'))


@pytest.fixture
def own_segmenter(checkpoint: Path) -> InstructSAMSegmenter:
    """A separate segmenter of the golden checkpoint, for tests that change it."""
    return load_segmenter(checkpoint, device='cpu', dtype='float32', speculative_decoding=False)
