"""Sheets of example images: correct predictions above, wrong ones below, each with its instruction and text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instructsam_training.evaluation.report.gallery import Example
from instructsam_training.evaluation.report.sheet import COLUMNS, draw_sheet

MIN_CORRECT_IOU = 0.5
JPEG_QUALITY = 82


def write_sheets(examples: Sequence[Example], folder: Path, seed: int) -> dict[str, Path]:
    """Write one sheet for each kind of query, of examples drawn at random.

    Returns:
        The files by kind.

    Raises:
        FrameError: an image cannot be read.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind in sorted({example.query.group for example in examples}):
        of_kind = [example for example in examples if example.query.group == kind]
        # Correct predictions above, wrong ones below.
        rows = [_sample(of_kind, seed, is_correct=True), _sample(of_kind, seed, is_correct=False)]
        files[kind] = folder / f'{kind}.jpg'
        draw_sheet(rows).save(files[kind], quality=JPEG_QUALITY, optimize=True)
    return files


def _sample(examples: Sequence[Example], seed: int, *, is_correct: bool) -> list[Example]:
    # The same seed for each kind, so that a sheet does not change when another kind is added.
    some = [example for example in examples if (example.iou > MIN_CORRECT_IOU) == is_correct]
    return [some[number] for number in np.random.default_rng(seed).permutation(len(some))[:COLUMNS].tolist()]
