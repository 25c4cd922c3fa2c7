"""RVL, a lossless code for 16-bit depth images: A. D. Wilson, "Fast Lossless Depth Image Compression", ISS 2017.

The pixels, row by row, are runs of zeros and runs of other values in turn, the first one of zeros. The code is the
length of a run of zeros, the length of the run of values, and the difference of each value to the previous one (0
before the first), and so on. A difference d is stored as 2 d if it is not negative and as -2 d - 1 if it is. Numbers
are split into groups of 3 bits, lowest first. A group is a nibble, whose top bit says that more groups follow. Nibbles
are packed into 32-bit words, first nibble in the top bits; the words are little endian, as the code was written for
x86.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instructsam_model import FrameError

_MAX_NIBBLES = 11
"""Of a number; 32 bits have no more."""


def decode_rvl(code: NDArray[np.uint8], pixels: int) -> NDArray[np.uint16]:
    """Decode an image of `pixels` values, uint16 (pixels,).

    Args:
        code: uint8 (N,), without the size of the image.
        pixels: number of pixels.

    Raises:
        FrameError: the code is too short, or is no code of an image of this size.
    """
    numbers = _read_numbers(code)
    runs = _find_runs(numbers, pixels)
    # The differences are what lies between the pairs of lengths.
    ends = np.cumsum(2 + runs[:, 1])
    starts = ends - runs[:, 1] - 2
    is_difference = np.zeros(len(numbers), dtype=bool)
    is_difference[: ends[-1]] = True
    is_difference[starts] = is_difference[starts + 1] = False
    zigzag = numbers[is_difference]
    # In 16 bits, so that the sum wraps around as it does in the encoder.
    differences = ((zigzag >> 1) ^ (0 - (zigzag & 1))).astype(np.uint16)
    image = np.zeros(pixels, dtype=np.uint16)
    is_value = np.repeat(np.tile([False, True], len(runs)), runs.ravel())
    image[is_value] = np.cumsum(differences, dtype=np.uint16)
    return image


def _read_numbers(code: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """All numbers in the code, uint32; numbers after the last run are padding."""
    ordered = code[: len(code) // 4 * 4].reshape(-1, 4)[:, ::-1].ravel()  # most significant byte of each word first
    nibbles = np.empty(2 * len(ordered), dtype=np.uint8)
    nibbles[0::2] = ordered >> 4
    nibbles[1::2] = ordered & 0xF
    ends = np.flatnonzero(nibbles < 8)
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    counts = ends - starts + 1
    numbers = (nibbles[starts] & 7).astype(np.uint32)
    for place in range(1, min(int(counts.max(initial=0)), _MAX_NIBBLES)):
        longer = np.flatnonzero(counts > place)
        numbers[longer] |= (nibbles[starts[longer] + place] & 7).astype(np.uint32) << np.uint32(3 * place)
    return numbers


def _find_runs(numbers: NDArray[np.uint32], pixels: int) -> NDArray[np.int64]:
    """The lengths of the runs, int64 (N, 2): of zeros and of values."""
    lengths: list[int] = []
    start, remaining = 0, pixels
    view = numbers.data  # a memoryview, which is faster than an array for single numbers
    while remaining > 0 and start + 1 < len(view):
        zeros, values = view[start], view[start + 1]
        remaining -= zeros + values
        lengths += zeros, values
        start += 2 + values
    if remaining != 0 or start > len(numbers) or not lengths:
        raise FrameError(f'RVL: {len(numbers)} numbers do not give {pixels} pixels; the data is incomplete or no RVL')
    return np.array(lengths, dtype=np.int64).reshape(-1, 2)
