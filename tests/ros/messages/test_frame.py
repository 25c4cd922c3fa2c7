"""Frames of both types of image messages."""

from __future__ import annotations

import numpy as np

from instructsam_ros.messages.frame import read_frame
from tests.support.image_messages import compressed_message, encoded, image_message

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_read_frame_keeps_pixels_stamp_and_frame_id():
    for message in (image_message(RGB, 'rgb8'), compressed_message(encoded('.png', RGB[..., ::-1]), 'png')):
        frame = read_frame(message)
        np.testing.assert_array_equal(frame.image_rgb, RGB)
        assert (frame.stamp_ns, frame.frame_id) == (1_700_000_000_123_456_789, 'camera_optical_frame')
