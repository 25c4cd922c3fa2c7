"""RVL against an encoder written from the paper, and vectors computed by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_model import FrameError
from instructsam_ros.messages.rvl import decode_rvl
from tests.support.image_messages import encode_rvl


def room(rng: np.random.Generator, holes: float = 0.02) -> NDArray[np.uint16]:
    """A depth image of 640x480 as a stereo camera sees a room: slopes, noise, holes and shadows."""
    y, x = np.mgrid[:480, :640]
    depth = (900 + 0.8 * y + 200 * np.sin(x / 60) + rng.normal(0, 2, (480, 640))).astype(np.uint16)
    depth[100:200, 300:400] = 0
    depth[rng.random(depth.shape) < holes] = 0
    return depth


@pytest.mark.parametrize(
    ('pixels', 'code'),
    [
        # Three zeros and no values: nibbles 3 0.
        ([0, 0, 0], '00000030'),
        # No zeros, one value, difference 5 stored as 10 = 0b001_010: nibbles 0 1 a 1.
        ([5], '0000a101'),
        # No zeros, two values; difference -2 is stored as 3: nibbles 0 2 a 1 3.
        ([5, 3], '0030a102'),
        # Zeros in between and at the end, which the previous value survives: nibbles 0 1 a 1, 2 1 0, 1 0.
        ([5, 0, 0, 5, 0], '0121a10100000000'),
        # The greatest difference, 65535, is stored as 131070 = 0b11_111_111_111_111_110: nibbles 0 1 e f f f f 3.
        ([65535], 'f3ffef01'),
    ],
)
def test_vectors_computed_by_hand(pixels: list[int], code: str):
    data = np.frombuffer(bytes.fromhex(code), np.uint8)
    assert decode_rvl(data, len(pixels)).tolist() == pixels


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 4), np.uint16),
        np.full((4, 4), 42, np.uint16),
        np.array([[0, 65535, 0, 1, 65535, 1]], np.uint16),
        np.random.default_rng(0).integers(0, 65536, (40, 50)).astype(np.uint16),
        np.random.default_rng(1).integers(0, 2, (40, 50)).astype(np.uint16) * 700,
        room(np.random.default_rng(2))[90:110],
    ],
    ids=['zeros', 'constant', 'extremes', 'noise', 'holes', 'room'],
)
def test_decodes_what_the_encoder_of_the_paper_writes(image: NDArray[np.uint16]):
    code = np.frombuffer(encode_rvl(image), np.uint8)
    np.testing.assert_array_equal(decode_rvl(code, image.size), image.ravel())


def test_wraps_around_in_16_bits():
    """An encoder in 16 bits writes -1 for a step from 0 to 65535."""
    code = np.frombuffer(bytes.fromhex('00001001'), np.uint8)  # nibbles 0 1 1: no zeros, one value, difference -1
    assert decode_rvl(code, 1).tolist() == [65535]


@pytest.mark.parametrize(
    ('code', 'pixels'), [('', 4), ('00000030', 4), ('00000030', 2), ('ffffffff', 4), ('0000c10c', 100), ('0000', 1)]
)
def test_broken_code_raises_frame_error(code: str, pixels: int):
    with pytest.raises(FrameError, match=r'^RVL: '):
        decode_rvl(np.frombuffer(bytes.fromhex(code), np.uint8), pixels)


def test_a_camera_at_30_hz_is_decoded_in_time():
    image = room(np.random.default_rng(3))
    code = np.frombuffer(encode_rvl(image), np.uint8)
    durations_s = []
    for _ in range(5):
        started_s = time.perf_counter()
        decoded = decode_rvl(code, image.size)
        durations_s.append(time.perf_counter() - started_s)
    np.testing.assert_array_equal(decoded.reshape(image.shape), image)
    assert min(durations_s) < 1 / 30
