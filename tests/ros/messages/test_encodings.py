"""Every constant of sensor_msgs/image_encodings.hpp is supported or refused with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import sensor_msgs

from instructsam_model import FrameError
from instructsam_ros.messages.encodings import ACCEPTED, SEMI_PLANAR, explain_refusal
from instructsam_ros.messages.image import read_image
from tests.support.image_messages import image_message, planar_message

CONSTANTS = [
    'rgb8', 'rgba8', 'rgb16', 'rgba16', 'bgr8', 'bgra8', 'bgr16', 'bgra16', 'mono8', 'mono16',
    '8UC1', '8UC2', '8UC3', '8UC4', '8SC1', '8SC2', '8SC3', '8SC4',
    '16UC1', '16UC2', '16UC3', '16UC4', '16SC1', '16SC2', '16SC3', '16SC4', '32SC1', '32SC2', '32SC3', '32SC4',
    '32FC1', '32FC2', '32FC3', '32FC4', '64FC1', '64FC2', '64FC3', '64FC4',
    'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8',
    'bayer_rggb16', 'bayer_bggr16', 'bayer_gbrg16', 'bayer_grbg16',
    'uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2', 'nv12', 'nv21', 'nv24',
]  # fmt: skip
"""All constants of ROS 2 Kilted; Humble lacks nv12, nv21 and nv24."""

REASONS = {
    **{f'{bits}SC{channels}': 'signed integers' for bits in (8, 16, 32) for channels in range(1, 5)},
    **{f'{bits}UC2': 'two numbers per pixel' for bits in (8, 16)},
    **{f'{bits}FC2': 'two numbers per pixel' for bits in (32, 64)},
    **{f'{bits}FC1': 'is depth (REP-118)' for bits in (32, 64)},
}


def installed_constants() -> set[str]:
    """The constants in the header of the installed sensor_msgs; empty where it is not installed."""
    for folder in Path(sensor_msgs.__file__).parents:
        file = folder / 'include/sensor_msgs/sensor_msgs/image_encodings.hpp'
        if file.exists():
            return set(re.findall(r'^const char \w+\[\] = "(\w+)"', file.read_text(), re.MULTILINE))
    return set()


def test_list_of_constants_is_that_of_the_installed_sensor_msgs():
    constants = installed_constants()
    if not constants:
        pytest.skip('the C++ headers of sensor_msgs are not installed')
    assert constants <= set(CONSTANTS)


@pytest.mark.parametrize('encoding', CONSTANTS)
def test_every_constant_is_supported_or_refused_with_its_reason(encoding: str):
    gray = np.full((6, 8), 100, dtype=np.uint8)
    if encoding in SEMI_PLANAR:
        chroma = np.full((6, 16) if encoding == 'nv24' else (3, 8), 128, dtype=np.uint8)
        message = planar_message([gray, chroma], encoding)
    else:
        number = re.fullmatch(r'(\d+)([USF])C(\d)', encoding)
        bits = int(number[1]) if number else 16 if encoding.endswith('16') else 8
        dtype = np.dtype(f'{(number[2] if number else "U").lower().replace("s", "i")}{bits // 8}')
        four, one = encoding.startswith(('rgba', 'bgra')), encoding.startswith(('mono', 'bayer'))
        channels = int(number[3]) if number else 4 if four else 1 if one else 3 if encoding[:3] in ('rgb', 'bgr') else 2
        value = 100 * 257 if bits == 16 and dtype.kind == 'u' else 100
        message = image_message(np.full((6, 8, channels), value, dtype=dtype), encoding)
    if encoding in REASONS:
        with pytest.raises(FrameError, match='is not a color or gray image, because') as caught:
            read_image(message)
        assert REASONS[encoding] in str(caught.value)
        return
    pixels = read_image(message)
    assert pixels.shape == (6, 8, 3)
    assert pixels.dtype == np.uint8
    if 'y' not in encoding and 'yuv' not in encoding and encoding not in SEMI_PLANAR:
        np.testing.assert_array_equal(pixels, 100)


def test_refused_and_accepted_encodings_are_disjoint():
    assert not [encoding for encoding in ACCEPTED if explain_refusal(encoding)]
    assert set(ACCEPTED) | set(REASONS) == set(CONSTANTS)


@pytest.mark.parametrize(
    ('encoding', 'reason'),
    [
        ('8UC5', '5 numbers per pixel have no defined colors'),
        ('32FC12', '12 numbers per pixel have no defined colors'),
        ('8UC', 'the number of channels is missing'),
        ('32UC1', 'only 8 and 16 bits are used for gray'),
        ('rgb9', ''),
        ('', ''),
    ],
)
def test_abstract_encodings_are_explained(encoding: str, reason: str):
    assert explain_refusal(encoding) == reason
