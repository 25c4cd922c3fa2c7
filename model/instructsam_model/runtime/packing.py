"""Masks as one bit a pixel, for transfers between a device and the host.

Notation: N masks of H rows and W columns.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def pack_bits(masks: Tensor) -> Tensor:
    """Pack eight pixels into a byte, the first in the highest bit as `numpy.unpackbits` has it.

    Args:
        masks: bool [N, H, W].

    Returns:
        uint8 [N, ceil(H W / 8)].
    """
    pixels = masks.flatten(1)
    # Pad to whole bytes: [N, bytes, 8].
    pixels = F.pad(pixels, (0, -pixels.shape[1] % 8)).view(len(masks), -1, 8)
    bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)
    weighted: Tensor = pixels.to(torch.uint8) << bits
    return weighted.sum(-1, dtype=torch.uint8)


def unpack_bits(packed: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Return masks, bool (N, H, W), of the bytes (N, ceil(H W / 8)) of `pack_bits`."""
    width, height = size_wh
    pixels = np.unpackbits(packed, axis=1, count=width * height)
    return pixels.reshape(len(packed), height, width).view(np.bool_)
