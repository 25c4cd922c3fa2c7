"""Image messages to arrays and back: the only file that accesses the pixels of an Image message.

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
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from instructsam_model import FrameError
from instructsam_ros.messages.color import Pixels, SensorBits, nv24_to_rgb, to_rgb
from instructsam_ros.messages.encodings import ACCEPTED, IMAGES, SEMI_PLANAR, explain_refusal

_LAYOUTS: dict[str, tuple[str, int]] = {name: layout[:2] for name, layout in IMAGES.items()} | {'32FC1': ('f4', 1)}
_NATIVE_IS_BIG = sys.byteorder == 'big'
_UNKNOWN_TO_CV_BRIDGE = ('uyvy', 'yuyv')
"""cv_bridge raises RuntimeError for these names, and knows the same pixels as yuv422 and yuv422_yuy2."""


def read_image(message: Image, sensor: SensorBits | None = None) -> NDArray[np.uint8]:
    """The pixels of an Image as uint8 (H, W, 3) RGB; for rgb8 a view of the message.

    16-bit pixels are scaled as `SensorBits` says, floats from 0 to 1 or from 0 to 255.

    Args:
        message: the image.
        sensor: of the camera; None for a single image.

    Raises:
        FrameError: the message is not a color or gray image, or its fields are inconsistent.
    """
    if message.encoding in SEMI_PLANAR:
        return _read_semi_planar(message)
    what = 'a color or gray image'
    if message.encoding not in IMAGES and (reason := explain_refusal(message.encoding)):
        what = f'{what}, because {reason}'
    return to_rgb(read_pixels(message, ACCEPTED, what), message.encoding, sensor)


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
    bridge = None if message.encoding in _UNKNOWN_TO_CV_BRIDGE else load_cv_bridge()
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


def _read_semi_planar(message: Image) -> NDArray[np.uint8]:
    """The pixels of a semi-planar YUV image as uint8 (H, W, 3) RGB."""
    width, height = _checked_size(message)
    is_nv24 = message.encoding == 'nv24'
    if not is_nv24 and (width % 2 or height % 2):
        raise FrameError(
            f'image: {width}x{height} cannot be {message.encoding}; expected an even width and height, because 2x2 '
            'pixels share their chroma; check the camera driver'
        )
    stride = _luma_stride(message, rows=3 * height if is_nv24 else height + height // 2)
    data = np.frombuffer(message.data, np.uint8)
    if not is_nv24:
        planes = np.ndarray((height + height // 2, width), np.uint8, data, 0, (stride, 1))
        return np.asarray(
            cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12 if message.encoding == 'nv12' else cv2.COLOR_YUV2RGB_NV21),
            dtype=np.uint8,
        )
    luma = np.ndarray((height, width), np.uint8, data, 0, (stride, 1))
    chroma = np.ndarray((height, width, 2), np.uint8, data, stride * height, (2 * stride, 2, 1))
    return nv24_to_rgb(luma, chroma)


def _luma_stride(message: Image, rows: int) -> int:
    """The bytes from one row of luma to the next.

    Drivers disagree on `step`: it is the stride of the luma plane (V4L2's bytesperline), or the bytes of a row of all
    planes, or the width times the channels that `image_encodings.hpp` gives. The size of the data tells.

    Args:
        message: a semi-planar image.
        rows: height of the data in rows of luma.
    """
    width, size = message.width, len(message.data)
    if message.step >= width and size >= message.step * (rows - 1) + width:
        return int(message.step)
    if size == width * rows:
        return int(width)
    raise FrameError(
        f'image: data is {size} bytes; expected {width * rows} for {width}x{message.height} {message.encoding}, or '
        f'{message.step * rows} with step {message.step}; check the camera driver'
    )


def _checked_size(message: Image) -> tuple[int, int]:
    """Width and height, after checking that there are pixels."""
    width, height = message.width, message.height
    if width == 0 or height == 0:
        raise FrameError(f'image: {width}x{height} has no pixels; expected at least 1x1; check the camera driver')
    return width, height


def _checked_layout(message: Image) -> tuple[np.dtype[Any], int]:
    """The dtype of one channel and the channels per pixel, after checking the size of the data."""
    width, height = _checked_size(message)
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
