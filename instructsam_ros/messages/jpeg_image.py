"""JPEG images as CompressedImage messages, as the compressed transport of image_transport publishes them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

FORMAT = 'rgb8; jpeg compressed bgr8'
"""Encoding of the image, codec, and order of the channels that the encoder was given (compressed_image_transport)."""


def make_jpeg_image(image_rgb: NDArray[np.uint8], quality: int, header: Header) -> CompressedImage:
    """A JPEG of an image uint8 (H, W, 3) with a quality of 1 to 100."""
    # OpenCV expects BGR; the colors in the file are the same for every reader.
    image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode('.jpg', image_bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    message = CompressedImage(header=header, format=FORMAT)
    message.data.frombytes(data.data.cast('B'))
    return message
