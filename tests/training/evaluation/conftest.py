"""Queries on images of one row of 100 pixels, so that overlaps can be computed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instructsam_model.masks import Rle, encode_rle
from instructsam_training.evaluation.prediction import PredictedMasks
from instructsam_training.evaluation.query import Query

SIZE_HW = (1, 100)


@pytest.fixture
def pixels() -> Callable[[int, int], Rle]:
    """Make a mask of `count` pixels, starting at column `first`."""

    def make(first: int, count: int) -> Rle:
        mask = np.zeros(SIZE_HW, dtype=np.bool_)
        mask[0, first : first + count] = True
        return encode_rle(mask)

    return make


@pytest.fixture
def query() -> Callable[..., Query]:
    def make(name: object, *targets: Rle, **changes: Any) -> Query:
        fields: dict[str, Any] = {'image': Path(f'{name}.png'), 'kind': 'phrase', 'text': f'thing {name}', **changes}
        return Query(id=str(name), size_hw=SIZE_HW, targets=targets, **fields)

    return make


@pytest.fixture
def prediction() -> Callable[..., PredictedMasks]:
    def make(name: object, *found: tuple[Rle, float]) -> PredictedMasks:
        return PredictedMasks(str(name), tuple(mask for mask, _ in found), tuple(score for _, score in found))

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a file to the temporary folder: JSON lines if its name ends with .jsonl, JSON otherwise."""

    def write(name: str, content: Any) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == '.jsonl':
            file.write_text(''.join(json.dumps(line) + '\n' for line in content))
        else:
            file.write_text(json.dumps(content))
        return file

    return write


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Write a black image to the temporary folder."""

    def write(name: str, size_hw: tuple[int, int] = SIZE_HW) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*size_hw, 3), dtype=np.uint8)).save(file)
        return file

    return write
