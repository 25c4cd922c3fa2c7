"""Messages to pictures and back: the only file that touches the pixels of a message.

Every picture becomes uint8 RGB. Pixels are viewed, not copied, wherever the encoding allows; a view shares the memory
of its message. Messages are filled with `data.frombytes`, the one way that is a plain copy everywhere: the setter
takes 45 to 160 ms for a list, memoryview or array of 720p.

cv_bridge is used, where it is installed, to read a message as it is ('passthrough'). It is never asked for an encoding:
that calls its compiled part, which crashes beside another NumPy than the one it was built with (vision_opencv #535).
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import cache
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from instructsam_model import Frame, FrameError, Instruction
from instructsam_model import Instance as ModelInstance
from instructsam_model import Segmentation as ModelSegmentation
from instructsam_model.masks import tight_box
from instructsam_ros.msg import Instance, Segmentation

Pixels = NDArray[Any]

# encoding: (dtype of one number, numbers per pixel, cv2.cvtColor code to RGB; None when it is RGB)
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
    # Without a named color order OpenCV's is meant, as in cv_bridge.
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
    # ROS names a Bayer pattern by its first row from the left, OpenCV by the second row from the second column.
    **{f'bayer_rggb{bits}': (dtype, 1, cv2.COLOR_BayerBG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_bggr{bits}': (dtype, 1, cv2.COLOR_BayerRG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_gbrg{bits}': (dtype, 1, cv2.COLOR_BayerGR2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_grbg{bits}': (dtype, 1, cv2.COLOR_BayerGB2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
}
_LAYOUTS = {encoding: layout[:2] for encoding, layout in _ENCODINGS.items()} | {'32FC1': ('f4', 1)}
_NATIVE_IS_BIG = sys.byteorder == 'big'


def read_frame(message: Image | CompressedImage) -> Frame:
    """The picture of a message, with its stamp and frame.

    Raises:
        FrameError: the message is not a picture in color or gray, or contradicts itself.
    """
    read = read_compressed if isinstance(message, CompressedImage) else read_image
    return Frame(read(message), stamp_ns(message.header.stamp), message.header.frame_id)


def read_image(message: Image) -> NDArray[np.uint8]:
    """The pixels of an Image as uint8 (H, W, 3) RGB; a view of the message when it is rgb8.

    16-bit pixels are divided by a power of two such that the depth of the sensor, the smallest of 8, 10, 12, 14 and
    16 bits that holds the brightest pixel, becomes 8 bits: cameras put 10 to 14 bits into the low end of 16.

    Raises:
        FrameError: as `read_frame`.
    """
    pixels = read_pixels(message, _ENCODINGS, 'a picture in color or gray')
    if pixels.dtype != np.uint8:
        pixels = _to_8_bit(pixels)
    code = _ENCODINGS[message.encoding][2]
    if code is None:
        return pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)
    except cv2.error as error:
        raise FrameError(
            f'image: {message.width}x{message.height} cannot be {message.encoding}, which needs even sides '
            f'({error.err}); check the camera driver'
        ) from error


def read_compressed(message: CompressedImage) -> NDArray[np.uint8]:
    """The pixels of a CompressedImage (JPEG, PNG, whatever OpenCV reads) as uint8 (H, W, 3) RGB.

    Raises:
        FrameError: as `read_frame`.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    # OpenCV 4 fills the missing part of a cut JPEG with gray and says nothing; a whole one ends in an EOI marker.
    cut = data[:2].tobytes() == b'\xff\xd8' and b'\xff\xd9' not in data[-64:].tobytes()
    # The camera's geometry counts, not what an EXIF tag says about how to hold the picture.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = None if cut or data.size == 0 else cv2.imdecode(data, flags)
    if pixels is None:
        raise FrameError(
            f"compressed image: {data.size} bytes of format '{message.format}' cannot be decoded"
            f'{", because the end is missing" if cut else ""}; expected a whole JPEG or PNG'
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_pixels(message: Image, encodings: Collection[str], what: str) -> Pixels:
    """The pixels as they are: (H, W) or (H, W, channels), in the byte order of this machine.

    Args:
        message: the picture.
        encodings: those that make sense.
        what: name of such a picture.

    Raises:
        FrameError: the message has another encoding, or contradicts itself.
    """
    if message.encoding not in encodings:
        raise FrameError(
            f"image: encoding '{message.encoding}' is not {what}; "
            f'expected one of {", ".join(encodings)}; check what the image topic is remapped to'
        )
    dtype, channels = _checked_layout(message)
    row = message.width * channels * dtype.itemsize
    bridge = _bridge()
    # It reads padding and the byte order wrong, the latter even of bytes and with NumPy 2.
    if bridge is not None and message.step == row and bool(message.is_bigendian) == _NATIVE_IS_BIG:
        return np.asarray(bridge.imgmsg_to_cv2(message, 'passthrough'))
    shape = (message.height, message.width, channels)
    strides = (message.step, channels * dtype.itemsize, dtype.itemsize)
    pixels = np.ndarray(shape, dtype, np.frombuffer(message.data, np.uint8), 0, strides)
    pixels = pixels[..., 0] if channels == 1 else pixels
    return pixels if dtype.isnative else pixels.astype(dtype.newbyteorder('='))


def make_image(pixels: Pixels, encoding: str, header: Header) -> Image:
    """An Image of rgb8 (H, W, 3), mono8, mono16, 16UC1 or 32FC1 (H, W) pixels.

    Raises:
        ValueError: the pixels do not have the shape or dtype of the encoding.
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


def make_segmentation(segmentation: ModelSegmentation, header: Header) -> Segmentation:
    """The whole answer; `latency` is left for whoever publishes it."""
    width, height = segmentation.size_wh
    return Segmentation(
        header=header,
        instruction=segmentation.instruction.text,
        request_id=segmentation.instruction.id,
        text=segmentation.text,
        raw_text=segmentation.raw_text,
        status=Segmentation.OK if segmentation.instances else Segmentation.NO_TARGET,
        height=height,
        width=width,
        instances=[_instance_message(instance, header) for instance in segmentation.instances],
    )


def read_segmentation(message: Segmentation) -> ModelSegmentation:
    """The answer that a message holds, with masks of the size of the picture.

    Raises:
        ValueError: the message contradicts itself, or its instruction is empty.
    """
    return ModelSegmentation(
        instances=tuple(_instance(instance, (message.height, message.width)) for instance in message.instances),
        instruction=Instruction(message.instruction, message.request_id),
        text=message.text,
        raw_text=message.raw_text,
        size_wh=(message.width, message.height),
        stamp_ns=stamp_ns(message.header.stamp),
        frame_id=message.header.frame_id,
    )


def label_pixels(segmentation: ModelSegmentation) -> NDArray[np.uint16]:
    """uint16 (H, W): 0 is background, k is instance k counted from 1; the better score wins an overlap."""
    width, height = segmentation.size_wh
    labels = np.zeros((height, width), dtype=np.uint16)
    for number, instance in reversed(list(enumerate(segmentation.instances, start=1))):
        labels[instance.mask] = number
    return labels


def make_labels(segmentation: ModelSegmentation, header: Header) -> Image:
    """mono16 label image: the `label_pixels`."""
    return make_image(label_pixels(segmentation), 'mono16', header)


def make_target(segmentation: ModelSegmentation, header: Header) -> Image:
    """mono8 mask of the best instance, 0 or 255; all 0 when there is none."""
    width, height = segmentation.size_wh
    if not segmentation.instances:
        return make_image(np.zeros((height, width), dtype=np.uint8), 'mono8', header)
    return make_image(_mono8(segmentation.instances[0].mask), 'mono8', header)


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch of the clock that made the stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def make_stamp(nanoseconds: int) -> Time:
    """The stamp of so many nanoseconds since the epoch."""
    sec, nanosec = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def _checked_layout(message: Image) -> tuple[np.dtype[Any], int]:
    """The dtype of one number and how many make a pixel."""
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
    expected = message.step * (height - 1) + row  # the last row may come without its padding
    if len(message.data) < expected:
        raise FrameError(
            f'image: data is {len(message.data)} bytes; expected at least {expected} for {width}x{height} '
            f'{message.encoding} with step {message.step}; check the camera driver'
        )
    return dtype, channels


@cache
def _bridge() -> Any:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return None
    return CvBridge()


def _to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    used_bits = int(pixels.max()).bit_length()
    sensor_bits = next(bits for bits in (8, 10, 12, 14, 16) if used_bits <= bits)
    return np.right_shift(pixels, sensor_bits - 8).astype(np.uint8)


def _instance_message(instance: ModelInstance, header: Header) -> Instance:
    # The box of the mask, because a model's box that is a pixel too small would cut the mask.
    box = tight_box(instance.mask)
    x1, y1, x2, y2 = (int(side) for side in (instance.box_xyxy if box is None else box))
    message = Instance(id=instance.id, label=instance.label, score=instance.score)
    message.box = RegionOfInterest(x_offset=x1, y_offset=y1, width=x2 - x1, height=y2 - y1)
    message.mask = make_image(_mono8(instance.mask[y1:y2, x1:x2]), 'mono8', header)
    return message


def _instance(message: Instance, size_hw: tuple[int, int]) -> ModelInstance:
    box = message.box
    x1, y1, x2, y2 = box.x_offset, box.y_offset, box.x_offset + box.width, box.y_offset + box.height
    mask = np.zeros(size_hw, dtype=np.bool_)
    mask[y1:y2, x1:x2] = read_pixels(message.mask, ('mono8',), 'a mask') > 0
    box_xyxy = np.array((x1, y1, x2, y2), dtype=np.float32)
    return ModelInstance(mask, box_xyxy, message.score, message.label, message.id)


def _mono8(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.multiply(mask, 255, dtype=np.uint8)
