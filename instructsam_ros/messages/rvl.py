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
    starts, lengths = _find_runs(numbers, pixels)
    # The differences are what lies between the pairs of lengths.
    is_difference = np.zeros(len(numbers), dtype=bool)
    is_difference[: starts[-1] + 2 + lengths[-1][1]] = True
    for offset in (0, 1):
        is_difference[np.asarray(starts) + offset] = False
    zigzag = numbers[is_difference]
    # In 16 bits, so that the sum wraps around as it does in the encoder.
    differences = ((zigzag >> 1) ^ -(zigzag & 1)).astype(np.uint16)
    image = np.zeros(pixels, dtype=np.uint16)
    is_value = np.repeat(np.tile([False, True], len(lengths)), np.ravel(lengths))
    image[is_value] = np.cumsum(differences, dtype=np.uint16)
    return image


def _read_numbers(code: NDArray[np.uint8]) -> NDArray[np.int64]:
    """All numbers in the code, int64; numbers after the last run are padding."""
    ordered = code[: len(code) // 4 * 4].reshape(-1, 4)[:, ::-1].ravel()  # most significant byte of each word first
    nibbles = np.empty(2 * len(ordered), dtype=np.uint8)
    nibbles[0::2] = ordered >> 4
    nibbles[1::2] = ordered & 0xF
    ends = np.flatnonzero(nibbles < 8)
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    counts = ends - starts + 1
    numbers = (nibbles[starts] & 7).astype(np.int64)
    for place in range(1, min(int(counts.max(initial=0)), _MAX_NIBBLES)):
        longer = np.flatnonzero(counts > place)
        numbers[longer] |= (nibbles[starts[longer] + place] & 7).astype(np.int64) << (3 * place)
    return numbers


def _find_runs(numbers: NDArray[np.int64], pixels: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Where each pair of runs starts in the numbers, and the lengths of its zeros and values."""
    starts, lengths = [], []
    start, remaining = 0, pixels
    view = numbers.data  # a memoryview, which is faster than an array for single numbers
    while remaining > 0 and start + 1 < len(view):
        zeros, values = view[start], view[start + 1]
        remaining -= zeros + values
        starts.append(start)
        lengths.append((zeros, values))
        start += 2 + values
    if remaining != 0 or start > len(numbers) or not starts:
        raise FrameError(f'RVL: {len(numbers)} numbers do not give {pixels} pixels; the data is incomplete or no RVL')
    return starts, lengths
