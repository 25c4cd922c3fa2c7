"""Label images and the masks of their codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from instructsam_model.masks import decode_rle
from instructsam_training.datasets.io.label_image import encode_codes, read_codes


@pytest.mark.parametrize('size_hw', [(1, 1), (1, 7), (7, 1), (13, 9)])
def test_masks_are_those_of_a_comparison(size_hw: tuple[int, int]) -> None:
    codes = np.random.default_rng(0).choice(np.array([0, 7, 256, 70_000], dtype=np.uint32), size=size_hw)
    masks = encode_codes(codes)
    assert list(masks) == sorted({int(code) for code in codes.ravel()})
    for code, rle in masks.items():
        np.testing.assert_array_equal(decode_rle(rle), codes == code)


def test_gray_and_color_images(paint: Callable[..., Path]) -> None:
    gray = paint('gray.png', np.array([[0, 65535]], dtype=np.uint16))
    color = paint('color.png', np.array([[[1, 2, 3], [255, 255, 255]]], dtype=np.uint8))
    assert read_codes(gray).tolist() == [[0, 65535]]
    assert read_codes(color).tolist() == [[1 + 2 * 256 + 3 * 65536, 256**3 - 1]]


def test_other_files(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='expected a label image, cannot read'):
        read_codes(save('text.png', 'text'))
    with pytest.raises(ValueError, match='cannot read'):
        read_codes(tmp_path / 'none.png')
