"""Depth images of REP-118."""

from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_model import FrameError
from instructsam_ros.messages.depth_image import make_depth, read_depth
from instructsam_ros.messages.image import make_image, read_image

DEPTH_M = np.array([[0.5, 1.2344, 70.0], [0.0, np.nan, 65.535]], dtype=np.float32)


def test_32fc1_keeps_meters_and_marks_unknown_depth_with_nan():
    message = make_depth(DEPTH_M, '32FC1', Header(frame_id='camera'))
    assert (message.encoding, message.width, message.height, message.step) == ('32FC1', 3, 2, 12)
    assert message.header.frame_id == 'camera'
    np.testing.assert_array_equal(
        np.frombuffer(message.data, np.float32).reshape(2, 3),
        np.array([[0.5, 1.2344, 70.0], [np.nan, np.nan, 65.535]], dtype=np.float32),
    )
    np.testing.assert_array_equal(read_depth(message)[0], DEPTH_M[0])


def test_16uc1_rounds_to_millimeters_and_marks_unknown_or_too_large_depth_with_0():
    message = make_depth(DEPTH_M, '16UC1', Header())
    assert np.frombuffer(message.data, np.uint16).tolist() == [500, 1234, 0, 0, 0, 65535]
    depth_m = read_depth(message)
    assert depth_m.dtype == np.float32
    np.testing.assert_allclose(depth_m, [[0.5, 1.234, 0], [0, 0, 65.535]], rtol=1e-6)


def test_read_depth_rejects_color_and_read_image_rejects_depth():
    with pytest.raises(FrameError, match="'mono16' is not a depth image; expected one of 32FC1, 16UC1"):
        read_depth(make_image(np.zeros((2, 2), np.uint16), 'mono16', Header()))
    with pytest.raises(FrameError, match="'32FC1' is not a color or gray image"):
        read_image(make_depth(DEPTH_M, '32FC1', Header()))
