"""Depth in CompressedImage messages: the plugin compressedDepth of image_transport, and lossless files of `compressed`.

compressedDepth writes '<encoding>; compressedDepth <png or rvl>' (before Humble without the codec: PNG), and before the
file a header of 12 bytes: a format number and two parameters a and b. Of 16UC1, the file is the image. Of 32FC1, it is
the inverse depth q = a / depth + b, rounded down to 16 bits, 0 where unknown (codec.cpp of
compressed_depth_image_transport).
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from instructsam_model import FrameError
from instructsam_ros.messages.color import Pixels
from instructsam_ros.messages.compressed_image import decode_pixels, expand_zstd, parse_format
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.rvl import decode_rvl

_HEADER = struct.Struct('<iff')
_RVL_SIZE = struct.Struct('<II')
_PNG = b'\x89PNG'
_MAX_PIXELS = 1 << 27
_DTYPES = {'16UC1': np.dtype(np.uint16), '32FC1': np.dtype(np.float32)}


def expand_depth(message: CompressedImage) -> Image:
    """The depth image in a compressed message, of encoding 16UC1 (millimeters) or 32FC1 (meters).

    Raises:
        FrameError: the message is no lossless depth image, or its data is broken.
    """
    format_ = parse_format(message.format)
    if format_.codec == 'zstd':
        return expand_zstd(message)
    # The first versions wrote nothing but the encoding.
    is_encoding = format_.codec.upper() in _DTYPES
    encoding = format_.codec.upper() if is_encoding else format_.encoding
    if encoding and encoding not in _DTYPES:
        raise FrameError(
            f"compressed depth: encoding '{encoding}' is not a depth image; expected one of {', '.join(_DTYPES)}; "
            'check what depth/image is remapped to'
        )
    start = bytes(message.data[: _HEADER.size + len(_PNG)])
    if format_.codec != 'compresseddepth' and not is_encoding and start[_HEADER.size :] != _PNG:
        return _make(_decode_file(message, 0), encoding, message)
    if len(message.data) <= _HEADER.size:
        raise FrameError(
            f"compressed depth: {len(message.data)} bytes of format '{message.format}' have no image after the header "
            'of 12 bytes; check the camera driver'
        )
    pixels = _decode_rvl(message) if 'rvl' in message.format.lower() else _decode_file(message, _HEADER.size)
    image = _make(pixels, '16UC1', message)
    if encoding != '32FC1':
        return image
    _, a, b = _HEADER.unpack_from(start)
    return _make(_depth_by_code(a, b)[pixels], '32FC1', message)


@lru_cache(maxsize=4)
def _depth_by_code(a: float, b: float) -> NDArray[np.float32]:
    """Depth in meters of each inverse depth of 16 bits, float32 (65536,); NaN where unknown or not in front."""
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise FrameError(
            f'compressed depth: the parameters of the header are {a:g} and {b:g}; expected finite ones, the first '
            'above 0; check the camera driver'
        )
    code = np.arange(1 << 16, dtype=np.float32)
    with np.errstate(divide='ignore'):
        depth_m = np.float32(a) / (code - np.float32(b))
    depth_m[0] = np.nan
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(np.nan))


def _decode_file(message: CompressedImage, start: int) -> Pixels:
    try:
        return decode_pixels(message, start)
    except FrameError as error:
        raise FrameError(str(error).replace('compressed image', 'compressed depth', 1)) from error


def _decode_rvl(message: CompressedImage) -> Pixels:
    data = np.frombuffer(message.data, np.uint8)[_HEADER.size :]
    width, height = _RVL_SIZE.unpack(data[: _RVL_SIZE.size].tobytes()) if len(data) > _RVL_SIZE.size else (0, 0)
    if not 0 < width * height <= _MAX_PIXELS:
        raise FrameError(
            f'compressed depth: {len(data)} bytes of RVL claim {width}x{height} pixels; the data is broken or not '
            'compressed with RVL'
        )
    try:
        return decode_rvl(data[_RVL_SIZE.size :], width * height).reshape(height, width)
    except FrameError as error:
        raise FrameError(f'compressed depth: {error}') from error


def _make(pixels: Pixels, encoding: str, message: CompressedImage) -> Image:
    """A depth image of the stated encoding; without one, of that which its pixels show."""
    shown = next((name for name, dtype in _DTYPES.items() if pixels.dtype == dtype and pixels.ndim == 2), '')
    if not shown or encoding not in ('', shown):
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        raise FrameError(
            f"compressed depth: format '{message.format}' holds {channels} channels of {pixels.dtype}; expected one of "
            '16 bits or of floats, as its encoding says; use the transport compressedDepth'
        )
    return make_image(pixels, shown, message.header)
