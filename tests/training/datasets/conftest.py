"""Fixtures that write small releases into a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_training.data.sample import SkipReport

Save = Callable[[str, Any], Path]


@pytest.fixture
def report() -> SkipReport:
    return SkipReport()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a file below the temporary folder: text as it is, anything else as JSON."""

    def write(name: str, content: Any) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
        return file

    return write


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Write an image below the temporary folder: `size_hw` black pixels, or the given ones."""

    def write(name: str, pixels: tuple[int, int] | np.ndarray, **options: Any) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros((*pixels, 3), dtype=np.uint8) if isinstance(pixels, tuple) else pixels
        Image.fromarray(values).save(file, **options)
        return file

    return write


@pytest.fixture
def reasons(report: SkipReport) -> Callable[[], list[tuple[str, str, str]]]:
    """What was skipped: name of the file, index, reason."""
    return lambda: [(error.file.name, str(error.index), error.reason) for error in report.errors]
