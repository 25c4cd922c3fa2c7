"""Every encoding to RGB and back to messages, and what is said about messages that are broken."""

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

from instructsam_model import FrameError, Instance, Instruction, Segmentation
from instructsam_ros.messages import convert
from instructsam_ros.msg import Segmentation as SegmentationMessage

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
    """A mosaic of a picture that is red everywhere: only the red cells are lit."""
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
def test_reads_every_encoding(
    pixels: np.ndarray[Any, Any], encoding: str, expected: np.ndarray[Any, Any], padding: int
):
    for big in (False, True) if pixels.dtype == np.uint16 else (False,):
        for last_row in (True, False):
            image_rgb = convert.read_image(message_of(pixels, encoding, padding=padding, big=big, last_row=last_row))
            assert image_rgb.dtype == np.uint8
            np.testing.assert_array_equal(image_rgb, expected)


@pytest.mark.parametrize('first_row', ['rg', 'bg', 'gb', 'gr'])
@pytest.mark.parametrize('bits', [8, 16])
def test_reads_every_bayer_pattern(first_row: str, bits: int):
    second_row = {'rg': 'gb', 'bg': 'gr', 'gb': 'rg', 'gr': 'bg'}[first_row]
    mosaic = bayer(first_row) if bits == 8 else to_16(bayer(first_row))
    image_rgb = convert.read_image(message_of(mosaic, f'bayer_{first_row}{second_row}{bits}'))
    inner = image_rgb[2:-2, 2:-2]
    assert np.all(inner[..., 0] > 250)
    assert np.all(inner[..., 1:] < 5)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('uyvy', 'uyvy'), ('yuv422', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv')],
)  # fmt: skip
def test_reads_every_yuv_order(encoding: str, order: str):
    sample = {'y': 81, 'u': 90, 'v': 240}  # red in BT.601
    pair = np.array([sample[name] for name in order], dtype=np.uint8).reshape(2, 2)
    image_rgb = convert.read_image(message_of(np.tile(pair, (6, 4, 1)), encoding))
    assert np.all(np.abs(image_rgb.astype(int) - (254, 0, 0)) < 4)


@pytest.mark.parametrize(('top', 'divisor'), [(255, 1), (1023, 4), (4095, 16), (16383, 64), (65535, 256)])
def test_16_bits_are_scaled_by_the_depth_of_the_sensor(top: int, divisor: int):
    pixels = np.linspace(0, top, 48).astype(np.uint16).reshape(6, 8)
    gray = convert.read_image(message_of(pixels, 'mono16'))[..., 0]
    np.testing.assert_array_equal(gray, pixels // divisor)
    assert gray.max() == 255


def test_rgb8_is_not_copied():
    message = message_of(RGB, 'rgb8')
    image_rgb = convert.read_image(message)
    message.data[0] = image_rgb[0, 0, 0] ^ 0xFF
    assert image_rgb[0, 0, 0] == message.data[0]


def test_cv_bridge_reads_what_needs_no_conversion(monkeypatch: pytest.MonkeyPatch):
    asked = []

    class CvBridge:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> np.ndarray[Any, Any]:
            asked.append(encoding)
            return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)

    monkeypatch.setitem(sys.modules, 'cv_bridge', types.SimpleNamespace(CvBridge=CvBridge))
    convert._bridge.cache_clear()
    try:
        for options in ({}, {'padding': 5}, {'big': True}):
            np.testing.assert_array_equal(convert.read_image(message_of(RGB[..., ::-1], 'bgr8', **options)), RGB)
    finally:
        convert._bridge.cache_clear()
    assert asked == ['passthrough'], 'it reads padding and the other byte order wrong'


def test_cv_bridge_agrees_with_numpy(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip('cv_bridge', reason='cv_bridge is not installed; it comes with ROS, not from PyPI')
    messages = [message_of(RGB, 'rgb8'), message_of(RGB[..., 0], 'mono8'), message_of(to_16(RGB), 'bgr16')]
    with_bridge = [convert.read_image(message) for message in messages]
    monkeypatch.setattr(convert, '_bridge', lambda: None)
    for message, expected in zip(messages, with_bridge, strict=True):
        np.testing.assert_array_equal(convert.read_image(message), expected)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'encoding': 'rgb9'}, "encoding 'rgb9' is not a picture"),
        ({'encoding': ''}, "encoding '' is not a picture"),
        ({'encoding': '32FC1'}, "encoding '32FC1' is not a picture"),
        ({'encoding': '16SC1'}, "encoding '16SC1' is not a picture"),
        ({'width': 0, 'height': 0}, '0x0 has no pixels'),
        ({'height': 0}, '8x0 has no pixels'),
        ({'step': 0}, 'step is 0 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 23}, 'step is 23 bytes; expected at least 24 for 8 pixels of rgb8'),
        ({'step': 32}, 'data is 144 bytes; expected at least 184 for 8x6 rgb8 with step 32'),
        ({'height': 7}, 'data is 144 bytes; expected at least 168'),
        ({'width': 9}, 'step is 24 bytes; expected at least 27'),
        ({'encoding': 'yuv422', 'width': 7}, '7x6 cannot be yuv422, which needs even sides'),
    ],
    ids=lambda value: ' '.join(f'{key} {item}' for key, item in value.items()) if isinstance(value, dict) else '',
)
def test_says_what_is_wrong_with_an_image(changes: dict[str, Any], said: str):
    message = message_of(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(FrameError, match=r'^image: ') as caught:
        convert.read_frame(message)
    assert said in str(caught.value)


def compressed(suffix: str, pixels: np.ndarray[Any, Any] = RGB[..., ::-1]) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1].tobytes())


def compressed_message(data: bytes, format_: str = 'jpeg') -> CompressedImage:
    message = CompressedImage(header=HEADER, format=format_)
    message.data.frombytes(data)
    return message


def test_reads_png_and_jpeg():
    np.testing.assert_array_equal(convert.read_compressed(compressed_message(compressed('.png'))), RGB)
    flat = np.full((16, 16, 3), (40, 80, 160), dtype=np.uint8)
    image_rgb = convert.read_compressed(compressed_message(compressed('.jpg', flat[..., ::-1])))
    assert np.all(np.abs(image_rgb.astype(int) - flat) < 6)


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        (b'', '0 bytes'),
        (b'not a picture', "13 bytes of format 'jpeg' cannot be decoded"),
        (compressed('.jpg')[:-40], 'because the end is missing'),
        (compressed('.png')[:-40], 'cannot be decoded'),
        (compressed('.jpg')[:100], 'because the end is missing'),
    ],
    ids=['empty', 'text', 'cut JPEG', 'cut PNG', 'cut JPEG header'],
)
def test_says_what_is_wrong_with_a_compressed_image(data: bytes, said: str):
    with pytest.raises(FrameError, match=r'^compressed image: ') as caught:
        convert.read_frame(compressed_message(data))
    assert said in str(caught.value)


def test_a_cut_jpeg_is_refused_by_an_opencv_that_fills_it_with_gray(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(convert.cv2, 'imdecode', lambda *_: np.full(RGB.shape, 128, dtype=np.uint8))
    with pytest.raises(FrameError, match='because the end is missing'):
        convert.read_compressed(compressed_message(compressed('.jpg')[:-40]))


def test_a_padded_jpeg_is_whole():
    """Some cameras fill their buffer with zeros after the end of the picture."""
    assert convert.read_compressed(compressed_message(compressed('.jpg') + bytes(16))).shape == RGB.shape


def test_a_frame_keeps_stamp_and_frame():
    frame = convert.read_frame(message_of(RGB, 'rgb8'))
    assert (frame.stamp_ns, frame.frame_id) == (1_700_000_000_123_456_789, 'camera_optical_frame')
    assert convert.make_stamp(frame.stamp_ns) == HEADER.stamp


@pytest.mark.parametrize(
    'pixels', [RGB, RGB[..., 0], to_16(RGB[..., 0]), RGB[:, ::2]], ids=['rgb8', 'mono8', 'mono16', 'not contiguous']
)
def test_an_image_message_holds_the_pixels(pixels: np.ndarray[Any, Any]):
    encoding = 'rgb8' if pixels.ndim == 3 else 'mono16' if pixels.dtype == np.uint16 else 'mono8'
    message = convert.make_image(pixels, encoding, HEADER)
    assert message.header == HEADER
    assert len(message.data) == message.step * message.height
    sent = deserialize_message(serialize_message(message), Image)
    read = np.frombuffer(sent.data, pixels.dtype).reshape(pixels.shape)
    np.testing.assert_array_equal(read, pixels)


def test_an_image_message_of_other_pixels_is_refused():
    with pytest.raises(ValueError, match='mono16: expected u2'):
        convert.make_image(RGB[..., 0], 'mono16', HEADER)


def instance(top: int, left: int, score: float, label: str = '') -> Instance:
    """A ring of 4 x 4 with a hole, so that boxes do not fit by chance."""
    mask = np.zeros((12, 16), dtype=np.bool_)
    mask[top : top + 4, left : left + 4] = True
    mask[top + 1 : top + 3, left + 1 : left + 3] = False
    return Instance(mask, np.array((left, top, left + 4, top + 4), dtype=np.float32), score, label, f'id of {label}')


SEGMENTATION = Segmentation(
    instances=(instance(2, 3, 0.9, 'mug'), instance(4, 5, 0.6, 'cup')),
    instruction=Instruction('the mugs', 'request 7'),
    text='mug and cup',
    size_wh=(16, 12),
    stamp_ns=1_700_000_000_123_456_789,
    frame_id='camera_optical_frame',
)


def test_a_segmentation_survives_the_message():
    message = convert.make_segmentation(SEGMENTATION, HEADER)
    message = deserialize_message(serialize_message(message), SegmentationMessage)
    first = message.instances[0]
    assert (first.box.x_offset, first.box.y_offset, first.box.width, first.box.height) == (3, 2, 4, 4)
    assert (first.mask.encoding, first.mask.width, first.mask.height) == ('mono8', 4, 4)
    assert set(first.mask.data) == {0, 255}
    assert first.mask.header == message.header == HEADER
    back = convert.read_segmentation(message)
    assert (back.instruction, back.text, back.size_wh) == (SEGMENTATION.instruction, 'mug and cup', (16, 12))
    assert (back.stamp_ns, back.frame_id) == (SEGMENTATION.stamp_ns, SEGMENTATION.frame_id)
    for was, is_ in zip(SEGMENTATION.instances, back.instances, strict=True):
        np.testing.assert_array_equal(is_.mask, was.mask)
        assert (is_.id, is_.label, is_.score) == (was.id, was.label, pytest.approx(was.score))


def test_a_box_that_is_too_small_does_not_cut_the_mask():
    loose = instance(2, 3, 0.9)
    tight = Instance(loose.mask, np.array((4, 3, 6, 5), dtype=np.float32), loose.score)
    message = convert.make_segmentation(Segmentation((tight,), Instruction('mug'), '', (16, 12)), HEADER)
    np.testing.assert_array_equal(convert.read_segmentation(message).instances[0].mask, loose.mask)


def test_the_better_score_wins_an_overlap_in_the_labels():
    message = convert.make_labels(SEGMENTATION, HEADER)
    labels = np.frombuffer(message.data, np.uint16).reshape(12, 16)
    first, second = (instance.mask for instance in SEGMENTATION.instances)
    assert np.any(first & second)
    assert np.all(labels[first] == 1)
    assert np.all(labels[second & ~first] == 2)
    assert np.all(labels[~first & ~second] == 0)


def test_the_target_is_the_best_instance():
    message = convert.make_target(SEGMENTATION, HEADER)
    target = np.frombuffer(message.data, np.uint8).reshape(12, 16)
    np.testing.assert_array_equal(target, SEGMENTATION.instances[0].mask * np.uint8(255))
