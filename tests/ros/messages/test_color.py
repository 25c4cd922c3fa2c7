"""Bit depths and ranges of pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instructsam_model import FrameError
from instructsam_ros.messages.color import SensorBits, nv24_to_rgb, to_rgb


def gray16(*values: int) -> np.ndarray:
    return np.array([values], dtype=np.uint16)


def test_bit_depth_of_a_sensor_never_decreases():
    sensor = SensorBits()
    assert sensor.scale(gray16(800, 1000)).tolist() == [[200, 250]]
    assert sensor.scale(gray16(800, 4000)).tolist() == [[50, 250]]
    assert sensor.scale(gray16(800, 1000)).tolist() == [[50, 62]], 'the same scene without its brightest pixel'


@pytest.mark.parametrize(('bits', 'upper', 'expected'), [(12, [8, 16, 17], [128, 255, 255]), (16, [8, 200], [8, 200])])
def test_upper_bytes_are_scaled_by_the_bit_depth(bits: int, upper: list[int], expected: list[int]):
    """JPEG exceeds the brightest pixel of a 12-bit image, 4095 / 256, by one."""
    pixels = np.array([upper], dtype=np.uint8)
    assert SensorBits().scale_upper_byte(pixels).tolist() == [expected], bits


def test_black_images_stay_black():
    for dtype in (np.uint16, np.float32):
        assert to_rgb(np.zeros((4, 4, 3), dtype), 'bgr16' if dtype == np.uint16 else '32FC3').max() == 0
    assert SensorBits().scale_upper_byte(np.full((2, 2), 1, np.uint8)).max() <= 16


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        ([0, 0.5, np.nan], 'floats are not all finite'),
        ([0, 0.5, np.inf], 'floats are not all finite'),
        ([-0.5, 0, 0.5], 'floats from -0.5 to 0.5 are no brightness'),
        ([0, 0.5, 1.5], 'floats from 0 to 1.5 are no brightness'),
        ([0, 100, 300], 'floats from 0 to 300 are no brightness'),
    ],
)
def test_floats_that_are_no_brightness_are_refused(values: list[float], expected: str):
    with pytest.raises(FrameError, match=expected):
        to_rgb(np.array([[values]], dtype=np.float32), '32FC3')


@pytest.mark.parametrize(
    ('values', 'expected'),
    [([0, 0.5, 1], [255, 128, 0]), ([0, 0.5, 1.0005], [255, 128, 0]), ([0, 100.4, 255], [255, 100, 0])],
)
def test_range_of_floats_is_told_by_the_brightest(values: list[float], expected: list[int]):
    assert to_rgb(np.array([[values]], dtype=np.float32), '32FC3').tolist() == [[expected]]


def test_nv24_has_the_colors_of_opencv_where_both_can_express_them():
    """4:4:4 whose chroma is equal in pairs of columns is 4:2:2."""
    rng = np.random.default_rng(0)
    luma = rng.integers(0, 256, (4, 8), dtype=np.uint8)
    chroma = np.repeat(rng.integers(0, 256, (4, 4, 2), dtype=np.uint8), 2, axis=1)
    uyvy = np.stack([np.where(np.arange(8) % 2, chroma[..., 1], chroma[..., 0]), luma], axis=-1)
    np.testing.assert_array_equal(nv24_to_rgb(luma, chroma), cv2.cvtColor(uyvy, cv2.COLOR_YUV2RGB_UYVY))
