"""Validation of the shared types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from instructsam_model import (
    ConfigError,
    Frame,
    FrameError,
    Instance,
    Instruction,
    RequestError,
    Segmentation,
    Selection,
)
from instructsam_model.datatypes import MAX_INSTRUCTION_CHARS

IMAGE = np.zeros((4, 6, 3), np.uint8)
MASK = np.ones((4, 6), np.bool_)
BOX = np.array([0, 0, 6, 4], np.float32)


def instance(score: float = 0.5, mask: Any = MASK) -> Instance:
    return Instance(mask, BOX, score)


def segmentation(*instances: Instance, size_wh: tuple[int, int] = (6, 4)) -> Segmentation:
    return Segmentation(instances, Instruction('a'), '', size_wh)


@pytest.mark.parametrize(
    ('make', 'error', 'message'),
    [
        (lambda: Frame(IMAGE[..., 0]), FrameError, r'expected uint8 \(H, W, 3\).*got uint8 \(4, 6\)'),
        (lambda: Frame(IMAGE.astype(np.float32)), FrameError, 'got float32'),
        (lambda: Frame(IMAGE[:0]), FrameError, r'H, W >= 1, got uint8 \(0, 6, 3\)'),
        (lambda: Instruction(''), RequestError, 'empty'),
        (lambda: Instruction(' \n'), RequestError, 'empty'),
        (lambda: Instruction(' \x07\x00\u200b'), RequestError, 'got only spaces and control characters'),
        (lambda: Instruction('a' * 10_000), RequestError, 'at most 4096 characters, got 10000'),
        (lambda: Instruction('a \udcff'), RequestError, r'expected Unicode text, got a surrogate in .a \\udcff'),
        (lambda: Selection(min_score=1.1), ConfigError, 'min_score: expected 0..1, got 1.1'),
        (lambda: Selection(mask_threshold=float('nan')), ConfigError, 'mask_threshold'),
        (lambda: Selection(max_instances=0), ConfigError, 'max_instances: expected at least 1'),
        (lambda: instance(mask=MASK.astype(np.uint8)), ValueError, 'mask: expected bool'),
        (lambda: Instance(MASK, BOX + 1, 0.5), ValueError, 'box inside 6x4'),
        (lambda: Instance(MASK, BOX.astype(np.float64), 0.5), ValueError, 'box_xyxy: expected float32'),
        (lambda: instance(score=float('nan')), ValueError, 'score: expected 0..1, got nan'),
        (
            lambda: Segmentation((instance(0.1), instance(0.9)), Instruction('a'), '', (6, 4)),
            ValueError,
            'best score first',
        ),
        (lambda: Segmentation((instance(),), Instruction('a'), '', (4, 6)), ValueError, r'masks of \(6, 4\)'),
    ],
)
def test_invalid_values_are_refused(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_longest_instruction_is_accepted() -> None:
    assert len(Instruction('a' * MAX_INSTRUCTION_CHARS).text) == MAX_INSTRUCTION_CHARS


def test_size_is_width_first() -> None:
    assert Frame(IMAGE).size_wh == (6, 4)
