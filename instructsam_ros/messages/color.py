"""Pixels of every supported encoding to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instructsam_model import FrameError
from instructsam_ros.messages.encodings import IMAGES, is_bayer

Pixels = NDArray[Any]

BRIGHTEST_UNIT = 1.001
"""Floats up to this are in the range 0 to 1; interpolation may exceed 1 by a rounding error."""
DARKEST_BYTE = 8.0
"""Images of floats whose brightest pixel is at least this are in the range 0 to 255."""


class SensorBits:
    """The bit depth of the 16-bit images of one camera.

    Cameras store 10 to 14 bits in the low bits of 16, and no message says how many. It is taken to be the smallest of
    8, 10, 12, 14 and 16 bits that holds the brightest pixel so far: it never decreases, so that the brightness does not
    jump with the brightest pixel of each image.
    """

    def __init__(self) -> None:
        self._bits = 8

    def scale(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return 16-bit pixels as 8 bits."""
        used_bits = int(pixels.max()).bit_length()
        self._bits = max(self._bits, next(bits for bits in (8, 10, 12, 14, 16) if used_bits <= bits))
        return np.right_shift(pixels, self._bits - 8).astype(np.uint8)

    def scale_upper_byte(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the upper bytes of 16-bit pixels, which is what JPEG keeps of them, as 8 bits.

        The smallest bit depth is 12: of less, nothing is left in the upper byte.
        """
        top = int(pixels.max()) * 8 // 9  # JPEG exceeds the brightest pixel a little
        self._bits = max(self._bits, next(bits for bits in (12, 14, 16) if top <= 2 ** (bits - 8)))
        return np.minimum(np.left_shift(pixels, 16 - self._bits, dtype=np.uint16), 255).astype(np.uint8)


def to_rgb(pixels: Pixels, encoding: str, sensor: SensorBits | None = None) -> NDArray[np.uint8]:
    """Convert pixels to uint8 (H, W, 3) RGB; 8-bit RGB is returned as it is.

    Args:
        pixels: (H, W) or (H, W, channels), as the encoding says.
        encoding: a key of `IMAGES`.
        sensor: of the camera; None for a single image.

    Raises:
        FrameError: the size is impossible for the encoding, or the numbers are no brightness.
    """
    height, width = pixels.shape[:2]
    if is_bayer(encoding) and min(height, width) < 3:  # OpenCV would return black
        raise FrameError(
            f'image: {width}x{height} cannot be {encoding}; expected at least 3x3; check the camera driver'
        )
    if pixels.dtype.kind == 'f':
        pixels = _scale_floats(pixels)
    elif pixels.dtype == np.uint16:
        pixels = (sensor or SensorBits()).scale(pixels)
    code = IMAGES[encoding].to_rgb
    if code is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
    except cv2.error as error:
        raise FrameError(
            f'image: {width}x{height} cannot be {encoding}; expected an even width ({error.err}); '
            'check the camera driver'
        ) from error


def nv24_to_rgb(luma: Pixels, chroma: Pixels) -> NDArray[np.uint8]:
    """Convert luma (H, W) and chroma (H, W, 2), both uint8, to uint8 (H, W, 3) RGB.

    OpenCV has no code for nv24, so each pixel becomes a UYVY group, which is two equal pixels; the first is taken.
    """
    height, width = luma.shape
    groups = np.empty((height, width, 4), dtype=np.uint8)
    cv2.mixChannels([chroma, luma], [groups], [0, 0, 2, 1, 1, 2, 2, 3])
    pairs = cv2.cvtColor(groups.reshape(height, 2 * width, 2), cv2.COLOR_YUV2RGB_UYVY).reshape(height, width, 6)
    image_rgb = np.empty((height, width, 3), dtype=np.uint8)
    cv2.mixChannels([pairs], [image_rgb], [0, 0, 1, 1, 2, 2])
    return image_rgb


def _scale_floats(pixels: Pixels) -> NDArray[np.uint8]:
    """Floats of 0 to 1, as in OpenCV, or of 0 to 255 as 8 bits; the brightest pixel tells which."""
    color = pixels[..., :3]  # alpha may have another range
    low, high = float(color.min()), float(color.max())  # NaN if any pixel is NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        raise FrameError('image: floats are not all finite; expected values from 0 to 1 or from 0 to 255')
    if low < 0 or BRIGHTEST_UNIT < high < DARKEST_BYTE or high > 255:
        raise FrameError(
            f'image: floats from {low:.4g} to {high:.4g} are no brightness; expected values from 0 to 1 or from 0 to '
            '255; scale the image, or remap image to the camera instead of a normalized tensor'
        )
    scale = 255.0 if high <= BRIGHTEST_UNIT else 1.0
    # OpenCV misreads rows whose padding is no multiple of a float. This rounds and saturates.
    return np.asarray(cv2.convertScaleAbs(np.ascontiguousarray(pixels), alpha=scale), dtype=np.uint8)
