"""Compressed images have the colors of the raw ones, for every format that image_transport and drivers write."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from instructsam_model import FrameError
from instructsam_ros.messages import compressed_image
from instructsam_ros.messages.color import SensorBits
from instructsam_ros.messages.compressed_image import Format, parse_format, read_compressed_image
from instructsam_ros.messages.image import read_image
from tests.support.image_messages import compressed_message, encoded, image_message, mosaic

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
RGB = cv2.resize(NOISE[:6, :8], (64, 48), interpolation=cv2.INTER_CUBIC)
BGR = np.ascontiguousarray(RGB[..., ::-1])
RGB_12_BITS = RGB.astype(np.uint16) * 16
GRAY = np.ascontiguousarray(RGB[..., 1])


def raw_pixels(encoding: str) -> np.ndarray[Any, Any]:
    """The test image as a camera of this encoding stores it."""
    if encoding.startswith('bayer'):
        source = RGB if encoding.endswith('8') else RGB_12_BITS
        return mosaic(encoding[6:8], source)
    image = RGB if encoding.endswith('8') or encoding.startswith('8U') else RGB_12_BITS
    if encoding.startswith('mono') or encoding.endswith('UC1'):
        return image[..., 1]
    ordered = image if encoding.startswith('rgb') else image[..., ::-1]
    return np.dstack([ordered, np.full_like(ordered[..., :1], 9)]) if 'a' in encoding else ordered


def published(encoding: str, codec: str, *, compress_bayer: bool = False, keep_alpha: bool = False) -> CompressedImage:
    """What CompressedPublisher of compressed_image_transport publishes for the test image.

    Args:
        encoding: of the raw image.
        codec: jpeg, png or tiff.
        compress_bayer: its parameter `jpeg_compress_bayer`, since Jazzy.
        keep_alpha: PNG keeps alpha, since Jazzy.
    """
    pixels, target = raw_pixels(encoding), ''
    is_color, bits = encoding[:3] in ('rgb', 'bgr'), 8 * pixels.itemsize
    if codec == 'jpeg':
        target = 'bgr8' if is_color else encoding if encoding.startswith('bayer') and compress_bayer else 'mono8'
        if pixels.dtype == np.uint16:
            pixels = np.rint(pixels * (255 / 65535)).astype(np.uint8)
        if encoding.startswith('bayer') and not compress_bayer:
            pixels = cv2.cvtColor(pixels, getattr(cv2, f'COLOR_Bayer{BAYER_OF_OPENCV[encoding[6:8]]}2GRAY'))
    elif codec == 'png' and is_color:
        target = f'bgr{"a" if keep_alpha and "a" in encoding else ""}{bits}'
    if target.startswith('bgr'):
        color = pixels[..., :3] if encoding.startswith('bgr') else pixels[..., 2::-1]
        pixels = np.dstack([color, pixels[..., 3]]) if target.startswith('bgra') else color
    suffix = {'jpeg': '.jpg', 'png': '.png', 'tiff': '.tiff'}[codec]
    return compressed_message(encoded(suffix, np.ascontiguousarray(pixels)), f'{encoding}; {codec} compressed {target}')


BAYER_OF_OPENCV = {'rg': 'BG', 'bg': 'RG', 'gb': 'GR', 'gr': 'GB'}
COLORS = ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'rgb16', 'bgr16', 'rgba16', 'bgra16']
GRAYS = ['mono8', '8UC1', 'mono16', '16UC1']
BAYERS = [f'bayer_{pattern}{bits}' for pattern in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)]


@pytest.mark.parametrize('encoding', [*COLORS, *GRAYS, *BAYERS])
@pytest.mark.parametrize('codec', ['png', 'tiff'])
def test_lossless_images_equal_raw_ones(encoding: str, codec: str):
    expected = read_image(image_message(raw_pixels(encoding), encoding))
    np.testing.assert_array_equal(read_compressed_image(published(encoding, codec)), expected)
    np.testing.assert_array_equal(read_compressed_image(published(encoding, codec, keep_alpha=True)), expected)


@pytest.mark.parametrize('encoding', [*COLORS, *GRAYS])
def test_jpeg_images_are_close_to_raw_ones(encoding: str):
    raw = read_image(image_message(raw_pixels(encoding), encoding)).astype(int)
    # Of 12 bits in 16, JPEG keeps 4: steps of 16.
    tolerance = 20 if '16' in encoding else 6
    assert np.abs(read_compressed_image(published(encoding, 'jpeg')).astype(int) - raw).mean() < tolerance


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'bayer_gbrg8'])
def test_jpeg_of_a_mosaic_has_colors_if_the_publisher_keeps_the_mosaic(encoding: str):
    raw = read_image(image_message(raw_pixels(encoding), encoding)).astype(int)
    kept = read_compressed_image(published(encoding, 'jpeg', compress_bayer=True)).astype(int)
    assert np.abs(kept - raw).mean() < 15
    gray = read_compressed_image(published(encoding, 'jpeg'))
    assert np.ptp(gray, axis=2).max() == 0, 'the publisher has converted it to gray, so it is no mosaic'
    assert np.abs(gray[..., 0].astype(int) - cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)).mean() < 15


@pytest.mark.parametrize(
    ('format_', 'stored', 'expected'),
    [
        # Other publishers: the codec alone, in any spelling.
        ('png', BGR, RGB),
        ('PNG', BGR, RGB),
        ('image/png', BGR, RGB),
        ('jpeg', BGR, RGB),  # a wrong name: OpenCV finds the codec in the data
        ('', BGR, RGB),
        ('png', np.dstack([BGR, GRAY]), RGB),
        ('png', GRAY, GRAY),
        ('png', GRAY.astype(np.uint16) * 16, GRAY),
        ('png', BGR.astype(np.uint16) * 16, RGB),
        # ROS 1, whose publisher wrote no target for gray.
        ('bayer_rggb8; png compressed ', raw_pixels('bayer_rggb8'), None),
        ('bgr8;png compressed bgr8', BGR, RGB),
        ('bgr8; png compressed bgr8', BGR, RGB),
        # Pixels that were given to the codec as red, green, blue.
        ('rgb8; png compressed rgb8', RGB, RGB),
        ('rgb8; png compressed ', RGB, RGB),
        ('bgr8; png compressed rgb8', RGB, RGB),
        ('bgr8; png compressed ', RGB, RGB),
        ('rgba8; png compressed ', np.dstack([RGB, GRAY]), RGB),
        # Without a color encoding the codec got blue, green, red.
        ('yuv422_yuy2; png compressed bgr8', BGR, RGB),
        ('uyvy; png compressed bgr8', BGR, RGB),
        ('8UC3; png compressed ', BGR, RGB),
        ('png; compressed bgr8', BGR, RGB),
        ('bayer_rggb8; png compressed bgr8', BGR, RGB),
        ('mono8; png compressed bgr8', BGR, RGB),
    ],
)
def test_formats_of_other_publishers(format_: str, stored: np.ndarray[Any, Any], expected: np.ndarray[Any, Any] | None):
    pixels = read_compressed_image(compressed_message(encoded('.png', stored), format_))
    if expected is None:
        expected = read_image(image_message(stored, 'bayer_rggb8'))
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize('format_', ['jpeg', 'jpg', 'JPEG', 'image/jpeg', 'mjpeg', 'rgb8; jpeg compressed bgr8'])
def test_jpeg_in_any_spelling(format_: str):
    image_rgb = read_compressed_image(compressed_message(encoded('.jpg', BGR), format_))
    assert np.abs(image_rgb.astype(int) - RGB).mean() < 6


def test_jpeg_of_rgb8_stored_as_rgb8_has_red_first():
    """The example of the fault: the publisher gave OpenCV red, green, blue instead of blue, green, red."""
    message = compressed_message(encoded('.jpg', RGB), 'rgb8; jpeg compressed rgb8')
    assert np.abs(read_compressed_image(message).astype(int) - RGB).mean() < 6


def test_other_codecs_of_opencv():
    for suffix in ('.webp', '.bmp', '.ppm'):
        image_rgb = read_compressed_image(compressed_message(encoded(suffix, BGR), suffix[1:]))
        assert np.abs(image_rgb.astype(int) - RGB).mean() < 6, suffix


def test_floats_of_tiff_are_read_as_raw_ones_are():
    floats = BGR.astype(np.float32) / 255
    message = compressed_message(encoded('.tiff', floats), '32FC3; tiff compressed ')
    np.testing.assert_array_equal(read_compressed_image(message), RGB)


def test_12_bit_images_are_as_bright_as_raw_ones_from_frame_to_frame():
    sensor = SensorBits()
    bright, dark = RGB_12_BITS[..., 1], RGB_12_BITS[..., 1] // 20
    for pixels in (bright, dark):
        message = compressed_message(encoded('.png', pixels), 'mono16; png compressed ')
        np.testing.assert_array_equal(read_compressed_image(message, sensor)[..., 0], pixels // 16)


def zstd_message(pixels: np.ndarray[Any, Any], encoding: str, *, wbits: int = 31) -> CompressedImage:
    """What zstd_image_transport of Jazzy and Kilted publishes: a header and gzip."""
    height, width = pixels.shape[:2]
    compressor = zlib.compressobj(3, zlib.DEFLATED, wbits)
    body = compressor.compress(pixels.tobytes()) + compressor.flush()
    header = struct.pack('<IIBII', height, width, 0, pixels.nbytes // height, len(encoding))
    return compressed_message(header + encoding.encode() + body, 'zstd')


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono16', 'bayer_rggb8'])
@pytest.mark.parametrize('wbits', [31, 15], ids=['gzip', 'zlib'])
def test_images_of_zstd_image_transport_equal_raw_ones(encoding: str, wbits: int):
    pixels = raw_pixels(encoding)
    expected = read_image(image_message(pixels, encoding))
    np.testing.assert_array_equal(read_compressed_image(zstd_message(pixels, encoding, wbits=wbits)), expected)


def cut(message: CompressedImage, size: int) -> CompressedImage:
    return compressed_message(message.data.tobytes()[:size], message.format)


@pytest.mark.parametrize(
    ('message', 'expected'),
    [
        (compressed_message(b'', 'jpeg'), "0 bytes of format 'jpeg'"),
        (compressed_message(b'not an image', 'jpeg'), "12 bytes of format 'jpeg' cannot be decoded"),
        (compressed_message(encoded('.jpg', BGR)[:-40], 'jpeg'), 'because the end is missing'),
        (compressed_message(encoded('.png', BGR)[:-40], 'jpeg'), 'cannot be decoded'),
        (compressed_message(encoded('.jpg', BGR)[:100], 'jpeg'), 'because the end is missing'),
        (compressed_message(b'\0\0\0\1\x67\x42', 'h264'), "format 'h264' is video"),
        (compressed_message(b'\0\0\0\1\x40\x01', 'hevc'), 'ros2 run image_transport republish'),
        (compressed_message(b'\0\0\1\x67\x42', 'jpeg'), 'is video'),
        (compressed_message(b'anything', 'theora'), 'is video'),
        (compressed_message(b'anything', 'h265'), 'is video'),
        (compressed_message(b'anything', 'av1'), 'is video'),
        (compressed_message(b'anything', '16UC1; compressedDepth png'), 'is depth; expected a color or gray image'),
        (
            compressed_message(b'anything', '32FC1; tiff compressed '),
            "'32FC1' is not a color or gray image, because one",
        ),
        (compressed_message(b'anything', '16SC1; png compressed '), 'because signed integers'),
        (
            compressed_message(encoded('.tiff', np.zeros((4, 4), np.float32)), 'tiff'),
            'holds float32 pixels (4, 4); expected 1, 3 or 4',
        ),
        (cut(zstd_message(RGB, 'rgb8'), 10), 'cannot be decoded (unpack_from requires'),
        (cut(zstd_message(RGB, 'rgb8'), 500), None),
        (compressed_message(zstd_message(RGB, 'rgb8').data.tobytes()[:21] + b'\x28\xb5\x2f\xfd12', 'zstd'), 'Jazzy or'),
        (zstd_message(RGB, 'rgb9'), "encoding 'rgb9' is not a color or gray image"),
    ],
)
def test_broken_and_unsupported_images_raise_frame_error(message: CompressedImage, expected: str | None):
    with pytest.raises(FrameError, match=r'^(compressed )?image: ') as caught:
        read_compressed_image(message)
    assert (expected or 'data is ') in str(caught.value)


def test_image_that_claims_too_many_pixels_raises_frame_error():
    """OpenCV raises its own error for these."""
    png = bytearray(encoded('.png', BGR))
    png[16:24] = struct.pack('>II', 60_000, 60_000)
    png[29:33] = struct.pack('>I', zlib.crc32(bytes(png[12:29])))
    with pytest.raises(FrameError, match='cannot be decoded'):
        read_compressed_image(compressed_message(bytes(png), 'png'))


def test_truncated_jpeg_is_rejected_when_opencv_fills_it_with_gray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compressed_image.cv2, 'imdecode', lambda *_: np.full(RGB.shape, 128, dtype=np.uint8))
    with pytest.raises(FrameError, match='because the end is missing'):
        read_compressed_image(compressed_message(encoded('.jpg', BGR)[:-40], 'jpeg'))


def test_jpeg_with_trailing_zeros_is_read():
    """Some cameras fill their buffer with zeros after the end of the image."""
    assert read_compressed_image(compressed_message(encoded('.jpg', BGR) + bytes(16), 'jpeg')).shape == RGB.shape


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('rgb8; jpeg compressed bgr8', Format('rgb8', 'jpeg', 'bgr8')),
        ('mono16; png compressed ', Format('mono16', 'png', '')),
        ('16UC1; compressedDepth png', Format('16UC1', 'compresseddepth', '')),
        ('rgb8;jpeg compressed bgr8', Format('rgb8', 'jpeg', 'bgr8')),
        ('jpeg', Format('', 'jpeg', '')),
        ('', Format('', '', '')),
        ('rgb8;', Format('rgb8', '', '')),
    ],
)
def test_parse_format(text: str, expected: Format):
    assert parse_format(text) == expected
    assert re.fullmatch(r'[a-z0-9]*', parse_format(text).codec)
