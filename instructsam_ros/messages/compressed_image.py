"""CompressedImage messages to arrays, as the subscribers of image_transport_plugins read them.

The plugin `compressed` describes its pixels as '<encoding>; <codec> compressed <stored>': the encoding of the raw
image, the codec, and the encoding in which the pixels were given to the codec. `stored` is missing if that is the
encoding of the raw image (compressed_publisher.cpp and compressed_subscriber.cpp, Humble to Rolling). Other drivers
write the name of the codec alone.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from instructsam_model import FrameError
from instructsam_ros.messages.color import Pixels, SensorBits, to_rgb
from instructsam_ros.messages.encodings import explain_refusal, is_bayer
from instructsam_ros.messages.image import read_image

_COLOR = re.compile(r'(rgb|bgr)a?(8|16)|uyvy|yuyv|yuv422|yuv422_yuy2|nv12|nv21|nv24')
_VIDEO = re.compile(r'(h|x|avc|hevc|mp|mpeg|vp|av|theora|ffmpeg)[.-]?(1|2|4|8|9|26[345])?', re.IGNORECASE)
_SIXTEEN_BITS = re.compile(r'16[US]C\d*|.*[a-z]16')


class Format(NamedTuple):
    """The fields of `CompressedImage.format`.

    Attributes:
        encoding: of the raw image; empty if unknown.
        codec: in lower case.
        stored: encoding of the pixels that the codec got; empty if not said.
    """

    encoding: str
    codec: str
    stored: str


def parse_format(text: str) -> Format:
    """Split `CompressedImage.format`."""
    encoding, separator, rest = text.partition(';')
    if not separator:
        return Format('', text.strip().lower(), '')
    codec = rest.split()[0].lower() if rest.split() else ''
    stored = re.search(r'compressed\s+(\w+)', rest)
    return Format(encoding.strip(), codec, stored[1] if stored else '')


def read_compressed_image(message: CompressedImage, sensor: SensorBits | None = None) -> NDArray[np.uint8]:
    """The pixels of a CompressedImage as uint8 (H, W, 3) RGB.

    Args:
        message: JPEG, PNG, TIFF or another format that OpenCV reads, or an image of the plugin `zstd`.
        sensor: of the camera; None for a single image.

    Raises:
        FrameError: the message is not a color or gray image, or its data is broken.
    """
    format_ = parse_format(message.format)
    if format_.codec == 'zstd':
        return read_image(expand_zstd(message), sensor)
    if format_.codec == 'compresseddepth':
        raise FrameError(
            f"compressed image: format '{message.format}' is depth; expected a color or gray image; check what the "
            'image topic is remapped to'
        )
    if reason := explain_refusal(format_.encoding):
        raise FrameError(
            f"compressed image: encoding '{format_.encoding}' is not a color or gray image, because {reason}; check "
            'what the image topic is remapped to'
        )
    pixels = decode_pixels(message)
    if format_.codec == 'jpeg' and _SIXTEEN_BITS.fullmatch(format_.encoding) and pixels.dtype == np.uint8:
        pixels = (sensor or SensorBits()).scale_upper_byte(pixels)
    encoding = _decoded_encoding(format_, pixels)
    if encoding is None:
        raise FrameError(
            f"compressed image: '{message.format}' holds {pixels.dtype} pixels {pixels.shape}; expected 1, 3 or 4 "
            'channels of 8 or 16 bits, or 3 or 4 of floats'
        )
    return to_rgb(pixels, encoding, sensor)


def decode_pixels(message: CompressedImage, start: int = 0) -> Pixels:
    """The pixels as the codec stored them, (H, W) or (H, W, channels).

    Args:
        message: the image.
        start: of the file in the data, bytes.

    Raises:
        FrameError: OpenCV cannot decode the data.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)[start:]
    # OpenCV 4 fills the missing part of a truncated JPEG with gray and reports no error, so look for the EOI marker.
    is_truncated = data[:2].tobytes() == b'\xff\xd8' and b'\xff\xd9' not in data[-64:].tobytes()
    pixels = None
    if data.size and not is_truncated:
        try:
            # Unchanged: all bits and channels, and no rotation by EXIF, as masks and boxes refer to the stored pixels.
            pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        except cv2.error:  # such as a header that claims too many pixels
            pixels = None
    if pixels is not None:
        return np.asarray(pixels)
    if _VIDEO.fullmatch(parse_format(message.format).codec) or data[:4].tobytes().startswith((b'\0\0\0\1', b'\0\0\1')):
        raise FrameError(
            f"compressed image: format '{message.format}' is video, and one message of it is no image; expected JPEG "
            'or PNG; decode it before this node, for example with ros2 run image_transport republish and the package '
            'ffmpeg_image_transport'
        )
    raise FrameError(
        f"compressed image: {data.size} bytes of format '{message.format}' cannot be decoded"
        f'{", because the end is missing" if is_truncated else ""}; expected a complete JPEG or PNG'
    )


def expand_zstd(message: CompressedImage) -> Image:
    """The raw image in a message of the plugin `zstd`, which up to ROS 2 Kilted compresses with zlib.

    The data is height, width, is_bigendian, step and the length of the encoding (little endian, 17 bytes), the
    encoding, and the compressed data (zstd_publisher.cpp).

    Raises:
        FrameError: the data is broken, or compressed with something else.
    """
    data = message.data.tobytes()
    try:
        height, width, is_bigendian, step, length = struct.unpack_from('<IIBII', data)
        encoding, body = data[17 : 17 + length].decode(), data[17 + length :]
        # 15 bits of window, and 32 for the header of either zlib or gzip. Limited, as few bytes can expand to any size.
        expanded = zlib.decompressobj(15 + 32).decompress(body, max(height * step, 1))
    except (struct.error, UnicodeDecodeError, zlib.error, OverflowError, MemoryError) as error:
        raise FrameError(
            f"compressed image: {len(data)} bytes of format '{message.format}' cannot be decoded ({error}); expected "
            'an image of zstd_image_transport of ROS 2 Jazzy or Kilted, which are compressed with zlib'
        ) from error
    image = Image(header=message.header, height=height, width=width, encoding=encoding, step=step)
    image.is_bigendian = is_bigendian
    image.data.frombytes(expanded)
    return image


def _decoded_encoding(format_: Format, pixels: Pixels) -> str | None:
    """The encoding of decoded pixels; None if there is none."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype in (np.float32, np.float64):
        return f'{pixels.itemsize * 8}FC{channels}' if channels in (3, 4) else None
    if pixels.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        return None
    bits = 8 * pixels.itemsize
    if channels == 1:
        # JPEG of a mosaic is converted to gray, unless the parameter jpeg_compress_bayer is set; `stored` tells.
        stored = format_.stored or format_.encoding
        return re.sub(r'\d+$', str(bits), stored) if is_bayer(stored) else f'mono{bits}'
    order = 'rgb' if _is_rgb(format_) else 'bgr'
    return f'{order}{"a" if channels == 4 else ""}{bits}'


def _is_rgb(format_: Format) -> bool:
    """Whether the decoded channels are red, green, blue: OpenCV decodes them in the order in which it got them."""
    if not _COLOR.fullmatch(format_.encoding):
        return False
    # TIFF stores the pixels as they are; the other codecs get BGR, which `stored` says, or RGB.
    if format_.codec == 'tiff':
        return format_.encoding.startswith('rgb')
    return not format_.stored.startswith('bgr')
