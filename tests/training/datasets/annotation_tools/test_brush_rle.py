"""Label Studio's brush masks, decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from instructsam_model.masks import decode_rle
from instructsam_training.datasets.annotation_tools.brush_rle import decode_brush
from tests.support.own_conversion import TWO_PARTS
from tests.support.own_exports import brush_bytes


def test_brush_masks_are_those_of_the_tools_own_encoder() -> None:
    """A rectangle in 4x6 pixels, as label-studio-converter 0.0.59 encodes it."""
    encoded = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 27, 0, 0]
    expected = np.zeros((4, 6), dtype=bool)
    expected[1:3, 2:5] = True
    assert np.array_equal(decode_rle(decode_brush(encoded, (4, 6))), expected)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ([], 'expected a list of bytes'),
        ('AAA', 'expected a list of bytes'),
        ([0, 300], 'expected a list of bytes'),
        ([0, 0, 0, 96, 57], 'it breaks off'),
        ([0, 0, 0, 92, 57, 27, 254, 31], 'expected 96 values of 8 bits, 4 for each pixel, got 92 of 8'),
        ([199501, 1, 996, 7], 'expected a list of bytes'),
    ],
)
def test_wrong_brush_masks(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode_brush(values, (4, 6))


def test_brush_bytes_round_trip() -> None:
    mask = TWO_PARTS & (np.random.default_rng(0).random(TWO_PARTS.shape) < 0.7)
    assert np.array_equal(decode_rle(decode_brush(brush_bytes(mask), mask.shape)), mask)
