"""JPEG images as image_transport publishes and reads them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header

from instructsam_ros.messages.compressed_image import read_compressed_image
from instructsam_ros.messages.jpeg_image import make_jpeg_image

HEADER = Header(frame_id='camera')
RED_RGB = np.full((16, 16, 3), (250, 20, 10), dtype=np.uint8)


def test_colors_are_right_for_viewers_and_for_image_transport():
    message = make_jpeg_image(RED_RGB, 95, HEADER)
    assert (message.header, message.format) == (HEADER, 'rgb8; jpeg compressed bgr8')
    data = np.frombuffer(message.data, np.uint8)
    assert data[:2].tobytes() == b'\xff\xd8'
    # Foxglove, RViz and browsers show the colors of the file; OpenCV returns them as BGR.
    red_bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    np.testing.assert_allclose(red_bgr[8, 8, ::-1].astype(int), RED_RGB[8, 8], atol=4)
    # compressed_image_transport turns BGR to RGB, because the format says "rgb8; ... compressed bgr8".
    np.testing.assert_allclose(read_compressed_image(message)[8, 8].astype(int), RED_RGB[8, 8], atol=4)


@pytest.mark.parametrize(('worse', 'better'), [(1, 50), (50, 100)])
def test_higher_quality_is_larger_and_closer(worse: int, better: int):
    noise_rgb = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    messages = [make_jpeg_image(noise_rgb, quality, HEADER) for quality in (worse, better)]
    errors = [np.abs(read_compressed_image(each).astype(int) - noise_rgb).mean() for each in messages]
    assert errors[0] > errors[1]
    assert len(messages[0].data) < len(messages[1].data)
