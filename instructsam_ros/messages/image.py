"""Image messages to arrays and back: the only file that accesses the pixels of a message.

Every color or gray image becomes uint8 (H, W, 3) RGB. Where the encoding allows, the array is a view that shares the
memory of its message. Messages are filled with `data.frombytes`, which is a plain memory copy in every ROS
distribution; the setter of `data` takes 45 to 160 ms for a list, memoryview or array of 1280x720 RGB.

Where cv_bridge is installed it reads messages in 'passthrough' mode only. Its conversion between encodings is compiled
code, which crashes with another NumPy version than the one it was built with (vision_opencv #535).
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from instructsam_model import Frame, FrameError
from instructsam_ros.messages.stamp import read_stamp_ns

Pixels = NDArray[Any]

# encoding: (dtype of one channel, channels per pixel, cv2.cvtColor code to RGB or None for RGB)
_ENCODINGS: dict[str, tuple[str, int, int | None]] = {
    'rgb8': ('u1', 3, None),
    'bgr8': ('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': ('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': ('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': ('u1', 1, cv2.COLOR_GRAY2RGB),
    'rgb16': ('u2', 3, None),
    'bgr16': ('u2', 3, cv2.COLOR_BGR2RGB),
    'rgba16': ('u2', 4, cv2.COLOR_RGBA2RGB),
    'bgra16': ('u2', 4, cv2.COLOR_BGRA2RGB),
    'mono16': ('u2', 1, cv2.COLOR_GRAY2RGB),
    # Encodings without a color order follow OpenCV's BGR, as in cv_bridge.
    '8UC1': ('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC3': ('u1', 3, cv2.COLOR_BGR2RGB),
    '8UC4': ('u1', 4, cv2.COLOR_BGRA2RGB),
    '16UC1': ('u2', 1, cv2.COLOR_GRAY2RGB),
    '16UC3': ('u2', 3, cv2.COLOR_BGR2RGB),
    '16UC4': ('u2', 4, cv2.COLOR_BGRA2RGB),
    'uyvy': ('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422': ('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': ('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuv422_yuy2': ('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    # ROS names a Bayer pattern by the first two pixels of row 0, OpenCV by pixels 1 and 2 of row 1.
    **{f'bayer_rggb{bits}': (dtype, 1, cv2.COLOR_BayerBG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_bggr{bits}': (dtype, 1, cv2.COLOR_BayerRG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_gbrg{bits}': (dtype, 1, cv2.COLOR_BayerGR2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_grbg{bits}': (dtype, 1, cv2.COLOR_BayerGB2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
}
_LAYOUTS = {encoding: layout[:2] for encoding, layout in _ENCODINGS.items()} | {'32FC1': ('f4', 1)}
_NATIVE_IS_BIG = sys.byteorder == 'big'


def read_frame(message: Image | CompressedImage) -> Frame:
    """The image of a message as a `Frame` with the message's stamp and frame id.

    Raises:
        FrameError: the message is not a color or gray image, or its fields are inconsistent.
    """
    read = read_compressed_image if isinstance(message, CompressedImage) else read_image
    return Frame(read(message), read_stamp_ns(message.header.stamp), message.header.frame_id)


def read_image(message: Image) -> NDArray[np.uint8]:
    """The pixels of an Image as uint8 (H, W, 3) RGB; for rgb8 a view of the message.

    16-bit pixels are shifted right by the bit depth of the sensor minus 8. The bit depth is taken to be the smallest
    of 8, 10, 12, 14 and 16 that holds the brightest pixel, since cameras store 10 to 14 bits in the low bits of 16.

    Raises:
        FrameError: as `read_frame`.
    """
    pixels = read_pixels(message, _ENCODINGS, 'a color or gray image')
    if pixels.dtype != np.uint8:
        pixels = _to_8_bit(pixels)
    code = _ENCODINGS[message.encoding][2]
    if code is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
    except cv2.error as error:
        raise FrameError(
            f'image: {message.width}x{message.height} cannot be {message.encoding}; expected an even width and height '
            f'({error.err}); check the camera driver'
        ) from error


def read_compressed_image(message: CompressedImage) -> NDArray[np.uint8]:
    """The pixels of a CompressedImage (JPEG, PNG or another format that OpenCV reads) as uint8 (H, W, 3) RGB.

    Raises:
        FrameError: as `read_frame`.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    # OpenCV 4 fills the missing part of a truncated JPEG with gray and reports no error, so look for the EOI marker.
    is_truncated = data[:2].tobytes() == b'\xff\xd8' and b'\xff\xd9' not in data[-64:].tobytes()
    # Masks and boxes refer to the pixels as the camera stored them, so ignore the EXIF orientation.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = None if is_truncated or data.size == 0 else cv2.imdecode(data, flags)
    if pixels is None:
        raise FrameError(
            f"compressed image: {data.size} bytes of format '{message.format}' cannot be decoded"
            f'{", because the end is missing" if is_truncated else ""}; expected a complete JPEG or PNG'
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_pixels(message: Image, encodings: Collection[str], what: str) -> Pixels:
    """The pixels without color conversion: (H, W) or (H, W, channels), in native byte order.

    Args:
        message: the image.
        encodings: accepted encodings.
        what: name of such an image, for error messages.

    Raises:
        FrameError: the message has another encoding, or its fields are inconsistent.
    """
    if message.encoding not in encodings:
        raise FrameError(
            f"image: encoding '{message.encoding}' is not {what}; "
            f'expected one of {", ".join(encodings)}; check what the image topic is remapped to'
        )
    dtype, channels = _checked_layout(message)
    row = message.width * channels * dtype.itemsize
    bridge = load_cv_bridge()
    # cv_bridge misreads padded rows, and non-native byte order even of 8-bit pixels with NumPy 2.
    if bridge is not None and message.step == row and bool(message.is_bigendian) == _NATIVE_IS_BIG:
        return np.asarray(bridge.imgmsg_to_cv2(message, 'passthrough'))
    # A strided view (H, W, channels) skips the padding at the end of each row.
    shape = (message.height, message.width, channels)
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    pixels = np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), 0, strides)
    pixels = pixels[..., 0] if channels == 1 else pixels
    return pixels if dtype.isnative else pixels.astype(dtype.newbyteorder('='))


def make_image(pixels: Pixels, encoding: str, header: Header) -> Image:
    """An Image message of rgb8 (H, W, 3), mono8, mono16, 16UC1 or 32FC1 (H, W) pixels.

    Raises:
        ValueError: shape or dtype of the pixels do not match the encoding.
    """
    dtype, channels = _LAYOUTS[encoding]
    expected = (*pixels.shape[:2], channels) if channels > 1 else pixels.shape[:2]
    if pixels.dtype != np.dtype(dtype) or pixels.shape != expected:
        raise ValueError(f'{encoding}: expected {dtype} {expected}, got {pixels.dtype} {pixels.shape}')
    height, width = pixels.shape[:2]
    step = width * channels * pixels.itemsize
    message = Image(
        header=header, height=height, width=width, encoding=encoding, step=step, is_bigendian=_NATIVE_IS_BIG
    )
    message.data.frombytes(np.ascontiguousarray(pixels).data.cast('B'))
    return message


def make_mask(mask: NDArray[np.bool_], header: Header) -> Image:
    """A mono8 Image message of a mask (H, W), with values 0 and 255."""
    return make_image(np.multiply(mask, 255, dtype=np.uint8), 'mono8', header)


def read_mask(message: Image) -> NDArray[np.bool_]:
    """The mask (H, W) of a mono8 Image: True where a pixel is not 0.

    Raises:
        FrameError: as `read_pixels`.
    """
    return np.asarray(read_pixels(message, ('mono8',), 'a mask') > 0)


@cache
def load_cv_bridge() -> Any:
    """A CvBridge; None where cv_bridge is not installed."""
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return None
    return CvBridge()


def _checked_layout(message: Image) -> tuple[np.dtype[Any], int]:
    """The dtype of one channel and the channels per pixel, after checking the size of the data."""
    width, height = message.width, message.height
    if width == 0 or height == 0:
        raise FrameError(f'image: {width}x{height} has no pixels; expected at least 1x1; check the camera driver')
    code, channels = _LAYOUTS[message.encoding]
    dtype = np.dtype(code).newbyteorder('>' if message.is_bigendian else '<')
    row = width * channels * dtype.itemsize
    if message.step < row:
        raise FrameError(
            f'image: step is {message.step} bytes; expected at least {row} for {width} pixels of '
            f'{message.encoding}; check the camera driver'
        )
    expected = message.step * (height - 1) + row  # some drivers leave out the padding of the last row
    if len(message.data) < expected:
        raise FrameError(
            f'image: data is {len(message.data)} bytes; expected at least {expected} for {width}x{height} '
            f'{message.encoding} with step {message.step}; check the camera driver'
        )
    return dtype, channels


def _to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    used_bits = int(pixels.max()).bit_length()
    sensor_bits = next(bits for bits in (8, 10, 12, 14, 16) if used_bits <= bits)
    return np.right_shift(pixels, sensor_bits - 8).astype(np.uint8)
