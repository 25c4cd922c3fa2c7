"""Depth of compressedDepth and of lossless files, against the formulas of its publisher."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from instructsam_model import FrameError
from instructsam_ros.messages.compressed_depth import expand_depth
from instructsam_ros.messages.depth_image import read_depth
from tests.support.image_messages import (
    DEPTH_MAX_M,
    HEADER,
    compressed_depth_message,
    compressed_message,
    encode_rvl,
    encoded,
)

DEPTH_MM = np.array([[0, 1, 500, 1234], [9999, 10000, 65535, 700]], dtype=np.uint16)
DEPTH_M = np.array([[0.3, 0.5, 1.2344, 3.0], [9.9, 0.0, np.nan, np.inf]], dtype=np.float32)


@pytest.mark.parametrize('codec', ['png', 'rvl'])
def test_16uc1_of_compressed_depth_is_exact(codec: str):
    message = compressed_depth_message(DEPTH_MM, codec)
    image = expand_depth(message)
    assert (image.encoding, image.width, image.height, image.header) == ('16UC1', 4, 2, HEADER)
    np.testing.assert_allclose(read_depth(message), DEPTH_MM * 0.001, rtol=1e-6)


@pytest.mark.parametrize('codec', ['png', 'rvl'])
def test_32fc1_of_compressed_depth_has_the_precision_of_its_quantization(codec: str):
    message = compressed_depth_message(DEPTH_M, codec)
    assert expand_depth(message).encoding == '32FC1'
    depth_m = read_depth(message)
    # q = a / depth + b is rounded down, a = 100 * 101: the step is depth^2 / a.
    known = np.isfinite(DEPTH_M) & (DEPTH_M > 0)
    error_m = depth_m[known] - DEPTH_M[known]
    assert np.all((error_m > -1e-5) & (error_m <= 1.01 * DEPTH_M[known] ** 2 / 10100 + 1e-5))
    assert np.all(np.isnan(depth_m[~known])), 'zero, NaN and infinity are unknown'


def test_depth_beyond_the_range_of_the_publisher_is_unknown():
    depth_m = read_depth(compressed_depth_message(np.full((2, 2), DEPTH_MAX_M + 1, np.float32), 'png'))
    assert np.all(np.isnan(depth_m))


def test_formula_of_the_subscriber():
    """depth = a / (q - b), where q is not 0; what is not in front of the camera is unknown."""
    q = np.array([[0, 1, 100, 65535]], dtype=np.uint16)
    data = struct.pack('<iff', 0, 10100.0, 50.0) + encoded('.png', q)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        depth_m = read_depth(compressed_message(data, '32FC1; compressedDepth png'))
    np.testing.assert_allclose(depth_m, [[np.nan, np.nan, 10100 / 50, 10100 / 65485]], rtol=1e-6)


@pytest.mark.parametrize(
    ('format_', 'header', 'rvl'),
    [
        ('16UC1; compressedDepth', True, False),
        ('16UC1;compressedDepth rvl', True, True),
        ('16UC1', True, False),
        ('png', True, False),
        ('', True, False),
        ('png', False, False),
        ('', False, False),
        ('16UC1; png compressed ', False, False),
    ],
)
def test_formats_of_other_and_older_publishers(format_: str, header: bool, rvl: bool):
    """Older versions of compressedDepth wrote no codec; drivers also send a PNG file alone."""
    body = struct.pack('<II', 4, 2) + encode_rvl(DEPTH_MM) if rvl else encoded('.png', DEPTH_MM)
    message = compressed_message(struct.pack('<iff', 0, 0, 0) * header + body, format_)
    np.testing.assert_allclose(read_depth(message), DEPTH_MM * 0.001, rtol=1e-6)


def test_floats_of_tiff_are_meters():
    message = compressed_message(encoded('.tiff', DEPTH_M), '32FC1; tiff compressed ')
    np.testing.assert_array_equal(read_depth(message), DEPTH_M)


def with_header(
    body: bytes, format_: str = '16UC1; compressedDepth png', a: float = 0, b: float = 0
) -> CompressedImage:
    return compressed_message(struct.pack('<iff', 0, a, b) + body, format_)


PNG_8, PNG_16 = encoded('.png', np.zeros((2, 2), np.uint8)), encoded('.png', DEPTH_MM)


@pytest.mark.parametrize(
    ('message', 'expected'),
    [
        (compressed_message(b'', '16UC1; compressedDepth png'), '0 bytes of format'),
        (with_header(b''), '12 bytes of format'),
        (with_header(PNG_16[:-20]), 'cannot be decoded'),
        (with_header(PNG_8), 'holds 1 channels of uint8; expected one of 16 bits or of floats'),
        (with_header(encoded('.png', np.zeros((2, 2, 3), np.uint16))), 'holds 3 channels of uint16'),
        (with_header(PNG_16, '32FC1; compressedDepth png', a=0), 'the parameters of the header are 0 and 0'),
        (with_header(PNG_16, '32FC1; compressedDepth png', a=np.nan), 'expected finite ones'),
        (
            with_header(PNG_16, 'mono16; compressedDepth png'),
            "'mono16' is not a depth image; expected one of 16UC1, 32FC1",
        ),
        (with_header(b'', '16UC1; compressedDepth rvl'), '12 bytes of format'),
        (with_header(b'1234', '16UC1; compressedDepth rvl'), '4 bytes of RVL claim 0x0'),
        (with_header(b'\xff' * 12, '16UC1; compressedDepth rvl'), 'claim 4294967295x4294967295 pixels'),
        (with_header(struct.pack('<II', 4, 2) + b'\0\0\0\x30', '16UC1; compressedDepth rvl'), 'do not give 8 pixels'),
        (compressed_message(PNG_16, '32FC1; png compressed '), 'as its encoding says'),
        (compressed_message(encoded('.jpg', np.zeros((4, 4), np.uint8)), '16UC1; jpeg compressed mono8'), 'uint8'),
        (compressed_message(b'text', 'bgr8; jpeg compressed bgr8'), "encoding 'bgr8' is not a depth image"),
        (compressed_message(b'text', 'jpeg'), "4 bytes of format 'jpeg' cannot be decoded"),
    ],
)
def test_broken_and_lossy_depth_raises_frame_error(message: CompressedImage, expected: str):
    with pytest.raises(FrameError, match=r'^compressed depth: ') as caught:
        read_depth(message)
    assert expected in str(caught.value)
