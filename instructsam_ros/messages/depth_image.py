"""Depth images of REP-118 to meters and back; the encoding determines the unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from instructsam_ros.messages.compressed_depth import expand_depth
from instructsam_ros.messages.image import make_image, read_pixels

UNITS_M = {'32FC1': 1.0, '16UC1': 0.001}
"""Meters per unit, by encoding."""


def make_depth(depth_m: NDArray[np.float32], encoding: str, header: Header) -> Image:
    """An Image message of depth along the optical axis.

    Args:
        depth_m: float32 (H, W), 0 or NaN where unknown. Unknown depth becomes NaN in 32FC1 and 0 in 16UC1; depth above
            65.535 m, which 16UC1 cannot represent, becomes 0 as well.
        encoding: a key of `UNITS_M`.
        header: of the message.
    """
    if encoding == '32FC1':
        return make_image(np.where(depth_m > 0, depth_m, np.float32(np.nan)), encoding, header)
    # NaN becomes 0, which means unknown in 16UC1.
    units = np.rint(np.nan_to_num(depth_m) / UNITS_M[encoding])
    return make_image(np.where(units <= np.iinfo(np.uint16).max, units, 0).astype(np.uint16), encoding, header)


def read_depth(message: Image | CompressedImage) -> NDArray[np.float32]:
    """Depth along the optical axis in meters, float32 (H, W), NaN or 0 where unknown.

    Raises:
        FrameError: the message is not a depth image, or its fields are inconsistent.
    """
    image = expand_depth(message) if isinstance(message, CompressedImage) else message
    pixels = read_pixels(image, UNITS_M, 'a depth image')
    return np.asarray(pixels * np.float32(UNITS_M[image.encoding]), dtype=np.float32)
