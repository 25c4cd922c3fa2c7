"""Every encoding to RGB and back to messages, and errors for malformed messages."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from instructsam_model import FrameError
from instructsam_ros.messages import image
from instructsam_ros.messages.image import load_cv_bridge, make_image, read_image
from tests.support.image_messages import HEADER, image_message, mosaic, planar_message

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
GRAY = np.repeat(RGB[..., :1], 3, axis=2)
ALPHA = np.full((6, 8, 1), 9, dtype=np.uint8)


def to_16(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """16-bit pixels with the given upper bytes, and lower bytes that would show if they were taken for upper ones."""
    return pixels.astype(np.uint16) * 256 + 7


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
        (np.float32(RGB[..., ::-1]), '32FC3', RGB),
        (np.float32(RGB[..., ::-1]) / 255, '32FC3', RGB),
        (np.float32(np.concatenate([RGB[..., ::-1], ALPHA], axis=2)), '32FC4', RGB),
        (np.float64(RGB[..., ::-1]) / 255, '64FC3', RGB),
        (np.concatenate([RGB[..., ::-1] / 255, ALPHA], axis=2), '64FC4', RGB),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_read_image_supports_every_encoding(
    pixels: np.ndarray[Any, Any], encoding: str, expected: np.ndarray[Any, Any], padding: int
):
    for big in (False, True) if pixels.itemsize > 1 else (False,):
        for last_row in (True, False):
            image_rgb = read_image(image_message(pixels, encoding, padding=padding, big=big, last_row=last_row))
            assert image_rgb.dtype == np.uint8
            np.testing.assert_array_equal(image_rgb, expected)


@pytest.mark.parametrize('first_row', ['rg', 'bg', 'gb', 'gr'])
@pytest.mark.parametrize('bits', [8, 16])
def test_read_image_supports_every_bayer_pattern(first_row: str, bits: int):
    second_row = {'rg': 'gb', 'bg': 'gr', 'gb': 'rg', 'gr': 'bg'}[first_row]
    orange = np.full((6, 8, 3), (250, 120, 10), dtype=np.uint8)
    pixels = mosaic(first_row, orange if bits == 8 else to_16(orange))
    image_rgb = read_image(image_message(pixels, f'bayer_{first_row}{second_row}{bits}'))
    np.testing.assert_array_equal(image_rgb, orange)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('uyvy', 'uyvy'), ('yuv422', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv')],
)  # fmt: skip
def test_read_image_supports_every_yuv_order(encoding: str, order: str):
    sample = {'y': 81, 'u': 90, 'v': 240}  # red in BT.601
    pair = np.array([sample[name] for name in order], dtype=np.uint8).reshape(2, 2)
    image_rgb = read_image(image_message(np.tile(pair, (6, 4, 1)), encoding))
    assert np.all(np.abs(image_rgb.astype(int) - (254, 0, 0)) < 4)


def yuv_planes(encoding: str, yuv: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Luma and chroma of pixels (H, W, 3); chroma of 2x2 pixels is that of the first."""
    order = [2, 1] if encoding == 'nv21' else [1, 2]
    step = 1 if encoding == 'nv24' else 2
    chroma = yuv[::step, ::step][..., order]
    return [yuv[..., 0], chroma.reshape(len(chroma), -1)]


def bt601(yuv: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """RGB of YUV in the limited range, by the formula of ITU-R BT.601."""
    y, u, v = np.moveaxis(yuv.astype(float) - (16, 128, 128), -1, 0)
    rgb = [1.164 * y + 1.596 * v, 1.164 * y - 0.392 * u - 0.813 * v, 1.164 * y + 2.017 * u]
    return np.clip(np.stack(rgb, axis=-1), 0, 255)


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24'])
@pytest.mark.parametrize(
    'options',
    [{}, {'padding': 8}, {'step': 12}, {'step': 16}, {'step': 0}],
    ids=['stride', 'padded', 'bytes of all planes', 'width times channels', 'no step'],
)
def test_read_image_supports_semi_planar_yuv(encoding: str, options: dict[str, int]):
    yuv = np.random.default_rng(1).integers(16, 236, (4, 8, 3), dtype=np.uint8)
    if encoding != 'nv24':
        yuv[..., 1:] = np.repeat(np.repeat(yuv[::2, ::2, 1:], 2, axis=0), 2, axis=1)
    message = planar_message(yuv_planes(encoding, yuv), encoding, **{'padding': 0, **options})
    if options == {'step': 0}:
        message.step = 0
    assert np.abs(read_image(message) - bt601(yuv)).max() < 3


@pytest.mark.parametrize(
    ('encoding', 'size_wh', 'size', 'expected'),
    [
        ('nv12', (7, 4), 42, '7x4 cannot be nv12; expected an even width and height'),
        ('nv21', (8, 3), 36, '8x3 cannot be nv21; expected an even width and height'),
        ('nv12', (8, 4), 47, 'data is 47 bytes; expected 48 for 8x4 nv12'),
        ('nv24', (8, 4), 95, 'data is 95 bytes; expected 96 for 8x4 nv24'),
        ('nv12', (8, 4), 0, 'data is 0 bytes'),
        ('nv24', (0, 4), 0, '0x4 has no pixels'),
    ],
)
def test_malformed_semi_planar_image_raises_frame_error(
    encoding: str, size_wh: tuple[int, int], size: int, expected: str
):
    message = Image(encoding=encoding, width=size_wh[0], height=size_wh[1], step=size_wh[0])
    message.data.frombytes(bytes(size))
    with pytest.raises(FrameError, match=r'^image: ') as caught:
        read_image(message)
    assert expected in str(caught.value)


@pytest.mark.parametrize(('top', 'divisor'), [(255, 1), (1023, 4), (4095, 16), (16383, 64), (65535, 256)])
def test_16_bit_pixels_are_scaled_by_the_bit_depth_of_the_sensor(top: int, divisor: int):
    pixels = np.linspace(0, top, 48).astype(np.uint16).reshape(6, 8)
    gray = read_image(image_message(pixels, 'mono16'))[..., 0]
    np.testing.assert_array_equal(gray, pixels // divisor)
    assert gray.max() == 255


def test_read_image_returns_a_view_of_rgb8():
    message = image_message(RGB, 'rgb8')
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
            np.testing.assert_array_equal(read_image(image_message(RGB[..., ::-1], 'bgr8', **options)), RGB)
    finally:
        load_cv_bridge.cache_clear()
    assert encodings == ['passthrough'], 'it reads padding and the other byte order wrong'


def test_cv_bridge_is_not_asked_for_encodings_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch):
    class CvBridge:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray[Any, Any]:
            raise RuntimeError(f'Unrecognized image encoding [{message.encoding}]')

    monkeypatch.setitem(sys.modules, 'cv_bridge', types.SimpleNamespace(CvBridge=CvBridge))
    load_cv_bridge.cache_clear()
    try:
        for encoding in ('uyvy', 'yuyv'):
            assert read_image(image_message(RGB[..., :2], encoding)).shape == RGB.shape
        assert read_image(planar_message([RGB[..., 0], RGB[::2, :, 1]], 'nv12')).shape == RGB.shape
    finally:
        load_cv_bridge.cache_clear()


def test_cv_bridge_agrees_with_numpy(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip('cv_bridge', reason='cv_bridge is not installed; it comes with ROS, not from PyPI')
    messages = [image_message(RGB, 'rgb8'), image_message(RGB[..., 0], 'mono8'), image_message(to_16(RGB), 'bgr16')]
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
        ({'encoding': '32FC1'}, 'because one float per pixel is depth (REP-118)'),
        ({'encoding': '16SC1'}, "encoding '16SC1' is not a color or gray image, because signed integers"),
        ({'encoding': 'bayer_rggb8', 'height': 2}, '8x2 cannot be bayer_rggb8; expected at least 3x3'),
        ({'width': 0, 'height': 0}, '0x0 has no pixels'),
        ({'height': 0}, '8x0 has no pixels'),
        ({'step': 0}, 'step is 0 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 23}, 'step is 23 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 32}, 'data is 144 bytes; expected at least 184 for 8x6 rgb8 with step 32'),
        ({'height': 7}, 'data is 144 bytes; expected at least 168'),
        ({'width': 9}, 'step is 24 bytes; expected at least 27'),
        ({'encoding': 'yuv422', 'width': 7}, '7x6 cannot be yuv422; expected an even width'),
    ],
    ids=lambda value: ' '.join(f'{key} {item}' for key, item in value.items()) if isinstance(value, dict) else '',
)
def test_malformed_image_raises_frame_error(changes: dict[str, Any], expected: str):
    message = image_message(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(FrameError, match=r'^image: ') as caught:
        read_image(message)
    assert expected in str(caught.value)


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
