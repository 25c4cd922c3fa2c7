"""Image and CompressedImage messages made byte by byte, as drivers and image_transport make them."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id='camera_optical_frame')
DEPTH_QUANTIZATION, DEPTH_MAX_M = np.float32(100.0), np.float32(10.0)
"""Defaults of compressed_depth_image_transport."""


def image_message(
    pixels: NDArray[Any], encoding: str, *, padding: int = 0, big: bool = False, last_row: bool = True
) -> Image:
    """An Image that was sent through DDS' serialization.

    Args:
        pixels: (H, W) or (H, W, channels).
        encoding: of the message.
        padding: bytes after each row.
        big: byte order.
        last_row: whether the last row has padding too.
    """
    stored = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<'))
    rows = [row.tobytes() + b'\xaa' * padding for row in stored]
    data = b''.join(rows) if last_row else b''.join(rows)[: -padding or None]
    message = Image(header=HEADER, encoding=encoding, height=len(rows), width=pixels.shape[1], step=len(rows[0]))
    message.is_bigendian = big
    message.data.frombytes(data)
    return deserialize_message(serialize_message(message), Image)


def planar_message(planes: list[NDArray[np.uint8]], encoding: str, *, step: int = 0, padding: int = 0) -> Image:
    """A semi-planar image of luma (H, W) and chroma planes.

    Args:
        planes: luma first; a chroma plane that is twice as wide has rows of twice the step.
        encoding: of the message.
        step: in the message; 0 for the stride of the luma plane.
        padding: bytes after each row of luma.
    """
    height, width = planes[0].shape
    data = b''
    for plane in planes:
        gap = b'\xaa' * (padding * plane.shape[1] // width)
        data += b''.join(row.tobytes() + gap for row in plane)
    message = Image(header=HEADER, encoding=encoding, height=height, width=width, step=step or width + padding)
    message.data.frombytes(data)
    return message


def mosaic(first_row: str, image_rgb: NDArray[Any]) -> NDArray[Any]:
    """A Bayer mosaic (H, W) of an RGB image (H, W, 3); `first_row` names the first two pixels, such as 'rg'."""
    second_row = {'rg': 'gb', 'bg': 'gr', 'gb': 'rg', 'gr': 'bg'}[first_row]
    pixels = np.empty(image_rgb.shape[:2], dtype=image_rgb.dtype)
    for y, row in enumerate((first_row, second_row)):
        for x, color in enumerate(row):
            pixels[y::2, x::2] = image_rgb[y::2, x::2, 'rgb'.index(color)]
    return pixels


def encoded(suffix: str, pixels: NDArray[Any]) -> bytes:
    """A file of OpenCV, as image_transport_plugins write it."""
    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def compressed_message(data: bytes, format_: str) -> CompressedImage:
    """A CompressedImage."""
    message = CompressedImage(header=HEADER, format=format_)
    message.data.frombytes(data)
    return message


def compressed_depth_message(depth: NDArray[Any], codec: str, *, format_: str = '') -> CompressedImage:
    """What compressed_depth_image_transport publishes for a depth image: uint16 in millimeters or float32 in meters."""
    a, b = np.float32(0), np.float32(0)
    pixels = depth
    if depth.dtype == np.float32:
        a = DEPTH_QUANTIZATION * (DEPTH_QUANTIZATION + np.float32(1))
        b = np.float32(1) - a / DEPTH_MAX_M
        with np.errstate(divide='ignore', invalid='ignore'):
            code = np.trunc(a / depth + b)
            pixels = np.where((depth > 0) & (depth < DEPTH_MAX_M), code, 0).astype(np.uint16)
    height, width = pixels.shape
    is_rvl = codec == 'rvl'
    body = struct.pack('<II', width, height) + encode_rvl(pixels) if is_rvl else encoded('.png', pixels)
    encoding = '32FC1' if depth.dtype == np.float32 else '16UC1'
    return compressed_message(
        struct.pack('<iff', 0, float(a), float(b)) + body, format_ or f'{encoding}; compressedDepth {codec}'
    )


def encode_rvl(pixels: NDArray[np.uint16]) -> bytes:
    """RVL of an image, written from the paper (Wilson, ISS 2017), one pixel after another."""
    values = [int(value) for value in pixels.ravel()]
    nibbles: list[int] = []

    def write(number: int) -> None:
        while number > 7:
            nibbles.append(8 | (number & 7))
            number >>= 3
        nibbles.append(number)

    place, previous = 0, 0
    while place < len(values):
        end_of_zeros = place
        while end_of_zeros < len(values) and values[end_of_zeros] == 0:
            end_of_zeros += 1
        end_of_values = end_of_zeros
        while end_of_values < len(values) and values[end_of_values] != 0:
            end_of_values += 1
        write(end_of_zeros - place)
        write(end_of_values - end_of_zeros)
        for value in values[end_of_zeros:end_of_values]:
            difference, previous = value - previous, value
            write(2 * difference if difference >= 0 else -2 * difference - 1)
        place = end_of_values
    nibbles += [0] * (-len(nibbles) % 8)
    words = (nibbles[start : start + 8] for start in range(0, len(nibbles), 8))
    return b''.join(int(''.join(f'{nibble:x}' for nibble in word), 16).to_bytes(4, 'little') for word in words)
