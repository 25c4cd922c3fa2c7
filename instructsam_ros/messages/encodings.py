"""The encodings of `sensor_msgs/image_encodings.hpp`: how pixels are stored, and why some are no images."""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2


class Layout(NamedTuple):
    """How one pixel is stored.

    Attributes:
        dtype: of one channel, without byte order.
        channels: per pixel.
        to_rgb: code of `cv2.cvtColor`; None for what is RGB already.
    """

    dtype: str
    channels: int
    to_rgb: int | None


IMAGES: dict[str, Layout] = {
    'rgb8': Layout('u1', 3, None),
    'bgr8': Layout('u1', 3, cv2.COLOR_BGR2RGB),
    'rgba8': Layout('u1', 4, cv2.COLOR_RGBA2RGB),
    'bgra8': Layout('u1', 4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    'rgb16': Layout('u2', 3, None),
    'bgr16': Layout('u2', 3, cv2.COLOR_BGR2RGB),
    'rgba16': Layout('u2', 4, cv2.COLOR_RGBA2RGB),
    'bgra16': Layout('u2', 4, cv2.COLOR_BGRA2RGB),
    'mono16': Layout('u2', 1, cv2.COLOR_GRAY2RGB),
    # Encodings without a color order follow OpenCV's BGR, as in cv_bridge.
    '8UC1': Layout('u1', 1, cv2.COLOR_GRAY2RGB),
    '8UC3': Layout('u1', 3, cv2.COLOR_BGR2RGB),
    '8UC4': Layout('u1', 4, cv2.COLOR_BGRA2RGB),
    '16UC1': Layout('u2', 1, cv2.COLOR_GRAY2RGB),
    '16UC3': Layout('u2', 3, cv2.COLOR_BGR2RGB),
    '16UC4': Layout('u2', 4, cv2.COLOR_BGRA2RGB),
    '32FC3': Layout('f4', 3, cv2.COLOR_BGR2RGB),
    '32FC4': Layout('f4', 4, cv2.COLOR_BGRA2RGB),
    '64FC3': Layout('f8', 3, cv2.COLOR_BGR2RGB),
    '64FC4': Layout('f8', 4, cv2.COLOR_BGRA2RGB),
    'uyvy': Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422': Layout('u1', 2, cv2.COLOR_YUV2RGB_UYVY),
    'yuyv': Layout('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    'yuv422_yuy2': Layout('u1', 2, cv2.COLOR_YUV2RGB_YUY2),
    # ROS names a Bayer pattern by the first two pixels of row 0, OpenCV by pixels 1 and 2 of row 1.
    **{f'bayer_rggb{bits}': Layout(dtype, 1, cv2.COLOR_BayerBG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_bggr{bits}': Layout(dtype, 1, cv2.COLOR_BayerRG2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_gbrg{bits}': Layout(dtype, 1, cv2.COLOR_BayerGR2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
    **{f'bayer_grbg{bits}': Layout(dtype, 1, cv2.COLOR_BayerGB2RGB) for bits, dtype in ((8, 'u1'), (16, 'u2'))},
}
"""Encodings of color and gray images whose pixels are stored one after another."""

SEMI_PLANAR = ('nv12', 'nv21', 'nv24')
"""Encodings with a plane of luma followed by one of chroma pairs: of 2x2 pixels in nv12 and nv21, of one in nv24."""

ACCEPTED = (*IMAGES, *SEMI_PLANAR)
"""Encodings of color and gray images."""

_ABSTRACT = re.compile(r'(?:8|16|32|64)([USF])C(\d*)')


def is_bayer(encoding: str) -> bool:
    """Return whether the pixels are a Bayer mosaic."""
    return encoding.startswith('bayer_')


def explain_refusal(encoding: str) -> str:
    """Return why an encoding of `sensor_msgs` is not a color or gray image; empty for unknown encodings."""
    match = _ABSTRACT.fullmatch(encoding)
    if match is None or encoding in IMAGES:
        return ''
    kind, channels = match[1], match[2]
    if not channels:
        return 'the number of channels is missing'
    if kind == 'S':
        return 'signed integers are disparities, labels or gradients'
    if channels == '1':
        return 'one float per pixel is depth (REP-118)' if kind == 'F' else 'only 8 and 16 bits are used for gray'
    if channels == '2':
        return 'two numbers per pixel are no color unless the encoding is uyvy or yuyv'
    return f'{channels} numbers per pixel have no defined colors'
