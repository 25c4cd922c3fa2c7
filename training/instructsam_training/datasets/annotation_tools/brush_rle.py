"""Label Studio's run-length encoding of brush masks, the format `rle-pack` of https://github.com/thi-ng/umbrella.

A stream of bits: 32 for the number of values, 5 for the bits of a value less 1, and four times 4 for the bits of a
length less 1. Then blocks: 1 bit whether one value repeats, 2 for which of the four lengths follows, the length less 1,
and one value, or as many as the length says. Values are the bytes of an RGBA image; its alpha channel is the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from instructsam_model.masks import Rle, encode_rle

COUNT_BITS, VALUE_BITS, LENGTH_BITS = 32, 5, 4
LENGTHS = 4
CHANNELS = 4
BYTE = 8


def decode_brush(values: Any, size_hw: tuple[int, int]) -> Rle:
    """Decode the mask of a brush region.

    Args:
        values: the bytes in the field `rle`.
        size_hw: height and width of the image.

    Raises:
        ValueError: it is no such encoding, it breaks off, or it is that of an image of another size.
    """
    height, width = size_hw
    # (H * W * 4,); Label Studio draws a region into the alpha channel.
    pixels = _decode(_bits(values), height * width * CHANNELS)
    return encode_rle(pixels.reshape(height, width, CHANNELS)[..., 3] > 0)


class _BitReader:
    """Reads numbers from bits, uint8 (N,) of 0 and 1, one after the other."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits, self.position = bits, 0

    def read(self, count: int) -> int:
        """Read an unsigned number of so many bits.

        Raises:
            ValueError: fewer bits are left.
        """
        number = 0
        # The most significant bit comes first.
        for bit in self._take(count).tolist():
            number = number << 1 | bit
        return number

    def read_bytes(self, count: int) -> np.ndarray:
        """Read so many values of 8 bits.

        Raises:
            ValueError: fewer bits are left.
        """
        return np.packbits(self._take(count * BYTE))

    def _take(self, count: int) -> np.ndarray:
        chunk = self.bits[self.position : self.position + count]
        if len(chunk) < count:
            raise ValueError('rle: expected a complete brush mask, it breaks off')
        self.position += count
        return chunk


def _bits(values: Any) -> _BitReader:
    try:
        content = np.asarray(values, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        content = np.empty(0, np.int64)
    if content.ndim != 1 or not len(content) or content.min() < 0 or content.max() > 255:
        raise ValueError('rle: expected a list of bytes 0..255')
    # (bytes,) to (8 * bytes,), most significant bit first.
    return _BitReader(np.unpackbits(content.astype(np.uint8)))


def _decode(reader: _BitReader, expected: int) -> np.ndarray:
    count, value_bits = reader.read(COUNT_BITS), reader.read(VALUE_BITS) + 1
    if count != expected or value_bits != BYTE:
        raise ValueError(
            f'rle: expected {expected} values of {BYTE} bits, 4 for each pixel, got {count} of {value_bits}'
        )
    # Short and long blocks store their length in different numbers of bits.
    lengths = [reader.read(LENGTH_BITS) + 1 for _ in range(LENGTHS)]
    # All channels of all pixels, row by row: R, G, B, A, R, ...
    pixels = np.empty(count, np.uint8)
    done = 0
    while done < count:
        repeats = reader.read(1)
        length = reader.read(lengths[reader.read(2)]) + 1
        if done + length > count:
            raise ValueError(f'rle: expected {count} values, got more')
        pixels[done : done + length] = reader.read(BYTE) if repeats else reader.read_bytes(length)
        done += length
    return pixels
