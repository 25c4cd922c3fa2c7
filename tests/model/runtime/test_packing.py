"""Masks as one bit a pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from instructsam_model.runtime.packing import pack_bits, unpack_bits


@pytest.mark.parametrize('size_wh', [(8, 1), (5, 3), (33, 7), (1, 1)])
def test_unpacked_masks_are_those_that_were_packed(size_wh: tuple[int, int]) -> None:
    masks = np.random.default_rng(0).random((3, *size_wh[::-1])) > 0.5
    packed = pack_bits(torch.from_numpy(masks))
    assert packed.shape == (3, -(-size_wh[0] * size_wh[1] // 8))
    assert np.array_equal(unpack_bits(packed.numpy(), size_wh), masks)
