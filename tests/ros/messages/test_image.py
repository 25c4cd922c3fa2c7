"""Every encoding to RGB and back to messages, and errors for malformed messages."""

from __future__ import annotations

import sys
import types
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from instructsam_model import FrameError
from instructsam_ros.messages import image
from instructsam_ros.messages.image import load_cv_bridge, make_image, read_compressed_image, read_frame, read_image

HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id='camera_optical_frame')
RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
GRAY = np.repeat(RGB[..., :1], 3, axis=2)
ALPHA = np.full((6, 8, 1), 9, dtype=np.uint8)


def to_16(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """16-bit pixels with the given upper bytes, and lower bytes that would show if they were taken for upper ones."""
    return pixels.astype(np.uint16) * 256 + 7


def message_of(
    pixels: np.ndarray[Any, Any], encoding: str, *, padding: int = 0, big: bool = False, last_row: bool = True
) -> Image:
    """An Image that is made byte by byte, as a driver would, and sent through DDS' serialization."""
    stored = pixels.astype(pixels.dtype.newbyteorder('>' if big else '<'))
    rows = [row.tobytes() + b'\xaa' * padding for row in stored]
    data = b''.join(rows) if last_row else b''.join(rows)[: -padding or None]
    message = Image(header=HEADER, encoding=encoding, height=len(rows), width=pixels.shape[1], step=len(rows[0]))
    message.is_bigendian = big
    message.data.frombytes(data)
    return deserialize_message(serialize_message(message), Image)


def bayer(first_row: str) -> np.ndarray[Any, Any]:
    """A Bayer mosaic of a red image: only the red cells are bright."""
    second_row = {'rg': 'gb', 'bg': 'gr', 'gb': 'rg', 'gr': 'bg'}[first_row]
    cell = np.array([[255 * (color == 'r') for color in row] for row in (first_row, second_row)], dtype=np.uint8)
    return np.tile(cell, (3, 4))


@pytest.mark.parametrize('padding', [0, 5], ids=['tight', 'padded'])
@pytest.mark.parametrize(
    ('pixels', 'encoding', 'expected'),
    [
        (RGB, 'rgb8', RGB),
        (RGB[..., ::-1], 'bgr8', RGB),
        (RGB[..., ::-1], '8UC3', RGB),
        (np.concatenate([RGB, ALPHA], axis=2), 'rgba8', RGB),
        (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), 'bgra8', RGB),
        (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), '8UC4', RGB),
        (RGB[..., 0], 'mono8', GRAY),
        (RGB[..., 0], '8UC1', GRAY),
        (to_16(RGB), 'rgb16', RGB),
        (to_16(RGB[..., ::-1]), 'bgr16', RGB),
        (to_16(RGB[..., ::-1]), '16UC3', RGB),
        (to_16(np.concatenate([RGB, ALPHA], axis=2)), 'rgba16', RGB),
        (to_16(np.concatenate([RGB[..., ::-1], ALPHA], axis=2)), 'bgra16', RGB),
        (to_16(np.concatenate([RGB[..., ::-1], ALPHA], axis=2)), '16UC4', RGB),
        (to_16(RGB[..., 0]), 'mono16', GRAY),
        (to_16(RGB[..., 0]), '16UC1', GRAY),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_read_image_supports_every_encoding(
    pixels: np.ndarray[Any, Any], encoding: str, expected: np.ndarray[Any, Any], padding: int
):
    for big in (False, True) if pixels.dtype == np.uint16 else (False,):
        for last_row in (True, False):
            image_rgb = read_image(message_of(pixels, encoding, padding=padding, big=big, last_row=last_row))
            assert image_rgb.dtype == np.uint8
            np.testing.assert_array_equal(image_rgb, expected)


@pytest.mark.parametrize('first_row', ['rg', 'bg', 'gb', 'gr'])
@pytest.mark.parametrize('bits', [8, 16])
def test_read_image_supports_every_bayer_pattern(first_row: str, bits: int):
    second_row = {'rg': 'gb', 'bg': 'gr', 'gb': 'rg', 'gr': 'bg'}[first_row]
    mosaic = bayer(first_row) if bits == 8 else to_16(bayer(first_row))
    image_rgb = read_image(message_of(mosaic, f'bayer_{first_row}{second_row}{bits}'))
    inner = image_rgb[2:-2, 2:-2]
    assert np.all(inner[..., 0] > 250)
    assert np.all(inner[..., 1:] < 5)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('uyvy', 'uyvy'), ('yuv422', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv')],
)  # fmt: skip
def test_read_image_supports_every_yuv_order(encoding: str, order: str):
    sample = {'y': 81, 'u': 90, 'v': 240}  # red in BT.601
    pair = np.array([sample[name] for name in order], dtype=np.uint8).reshape(2, 2)
    image_rgb = read_image(message_of(np.tile(pair, (6, 4, 1)), encoding))
    assert np.all(np.abs(image_rgb.astype(int) - (254, 0, 0)) < 4)


@pytest.mark.parametrize(('top', 'divisor'), [(255, 1), (1023, 4), (4095, 16), (16383, 64), (65535, 256)])
def test_16_bit_pixels_are_scaled_by_the_bit_depth_of_the_sensor(top: int, divisor: int):
    pixels = np.linspace(0, top, 48).astype(np.uint16).reshape(6, 8)
    gray = read_image(message_of(pixels, 'mono16'))[..., 0]
    np.testing.assert_array_equal(gray, pixels // divisor)
    assert gray.max() == 255


def test_read_image_returns_a_view_of_rgb8():
    message = message_of(RGB, 'rgb8')
    image_rgb = read_image(message)
    message.data[0] = image_rgb[0, 0, 0] ^ 0xFF
    assert image_rgb[0, 0, 0] == message.data[0]


def test_cv_bridge_is_used_in_passthrough_for_unpadded_native_images(monkeypatch: pytest.MonkeyPatch):
    encodings = []

    class CvBridge:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray[Any, Any]:
            encodings.append(encoding)
            return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)

    monkeypatch.setitem(sys.modules, 'cv_bridge', types.SimpleNamespace(CvBridge=CvBridge))
    load_cv_bridge.cache_clear()
    try:
        for options in ({}, {'padding': 5}, {'big': True}):
            np.testing.assert_array_equal(read_image(message_of(RGB[..., ::-1], 'bgr8', **options)), RGB)
    finally:
        load_cv_bridge.cache_clear()
    assert encodings == ['passthrough'], 'it reads padding and the other byte order wrong'


def test_cv_bridge_agrees_with_numpy(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip('cv_bridge', reason='cv_bridge is not installed; it comes with ROS, not from PyPI')
    messages = [message_of(RGB, 'rgb8'), message_of(RGB[..., 0], 'mono8'), message_of(to_16(RGB), 'bgr16')]
    with_bridge = [read_image(message) for message in messages]
    monkeypatch.setattr(image, 'load_cv_bridge', lambda: None)
    for message, expected in zip(messages, with_bridge, strict=True):
        np.testing.assert_array_equal(read_image(message), expected)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'encoding': 'rgb9'}, "encoding 'rgb9' is not a color or gray image"),
        ({'encoding': ''}, "encoding '' is not a color or gray image"),
        ({'encoding': '32FC1'}, "encoding '32FC1' is not a color or gray image"),
        ({'encoding': '16SC1'}, "encoding '16SC1' is not a color or gray image"),
        ({'width': 0, 'height': 0}, '0x0 has no pixels'),
        ({'height': 0}, '8x0 has no pixels'),
        ({'step': 0}, 'step is 0 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 23}, 'step is 23 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 32}, 'data is 144 bytes; expected at least 184 for 8x6 rgb8 with step 32'),
        ({'height': 7}, 'data is 144 bytes; expected at least 168'),
        ({'width': 9}, 'step is 24 bytes; expected at least 27'),
        ({'encoding': 'yuv422', 'width': 7}, '7x6 cannot be yuv422; expected an even width and height'),
    ],
    ids=lambda value: ' '.join(f'{key} {item}' for key, item in value.items()) if isinstance(value, dict) else '',
)
def test_malformed_image_raises_frame_error(changes: dict[str, Any], expected: str):
    message = message_of(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(FrameError, match=r'^image: ') as caught:
        read_frame(message)
    assert expected in str(caught.value)


def compressed(suffix: str, pixels: np.ndarray[Any, Any] = RGB[..., ::-1]) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def compressed_message(data: bytes, format_: str = 'jpeg') -> CompressedImage:
    message = CompressedImage(header=HEADER, format=format_)
    message.data.frombytes(data)
    return message


def test_read_compressed_image_supports_png_and_jpeg():
    np.testing.assert_array_equal(read_compressed_image(compressed_message(compressed('.png'))), RGB)
    flat = np.full((16, 16, 3), (40, 80, 160), dtype=np.uint8)
    image_rgb = read_compressed_image(compressed_message(compressed('.jpg', flat[..., ::-1])))
    assert np.all(np.abs(image_rgb.astype(int) - flat) < 6)


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', '0 bytes'),
        (b'not an image', "12 bytes of format 'jpeg' cannot be decoded"),
        (compressed('.jpg')[:-40], 'because the end is missing'),
        (compressed('.png')[:-40], 'cannot be decoded'),
        (compressed('.jpg')[:100], 'because the end is missing'),
    ],
    ids=['empty', 'text', 'cut JPEG', 'cut PNG', 'cut JPEG header'],
)
def test_malformed_compressed_image_raises_frame_error(data: bytes, expected: str):
    with pytest.raises(FrameError, match=r'^compressed image: ') as caught:
        read_frame(compressed_message(data))
    assert expected in str(caught.value)


def test_truncated_jpeg_is_rejected_when_opencv_fills_it_with_gray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image.cv2, 'imdecode', lambda *_: np.full(RGB.shape, 128, dtype=np.uint8))
    with pytest.raises(FrameError, match='because the end is missing'):
        read_compressed_image(compressed_message(compressed('.jpg')[:-40]))


def test_jpeg_with_trailing_zeros_is_read():
    """Some cameras fill their buffer with zeros after the end of the image."""
    assert read_compressed_image(compressed_message(compressed('.jpg') + bytes(16))).shape == RGB.shape


def test_read_frame_keeps_stamp_and_frame_id():
    frame = read_frame(message_of(RGB, 'rgb8'))
    assert (frame.stamp_ns, frame.frame_id) == (1_700_000_000_123_456_789, 'camera_optical_frame')


@pytest.mark.parametrize(
    'pixels', [RGB, RGB[..., 0], to_16(RGB[..., 0]), RGB[:, ::2]], ids=['rgb8', 'mono8', 'mono16', 'not contiguous']
)
def test_make_image_stores_the_pixels(pixels: np.ndarray[Any, Any]):
    encoding = 'rgb8' if pixels.ndim == 3 else 'mono16' if pixels.dtype == np.uint16 else 'mono8'
    message = make_image(pixels, encoding, HEADER)
    assert message.header == HEADER
    assert len(message.data) == message.step * message.height
    sent = deserialize_message(serialize_message(message), Image)
    read = np.frombuffer(sent.data, pixels.dtype).reshape(pixels.shape)
    np.testing.assert_array_equal(read, pixels)


def test_make_image_rejects_pixels_of_another_dtype():
    with pytest.raises(ValueError, match='mono16: expected u2'):
        make_image(RGB[..., 0], 'mono16', HEADER)
