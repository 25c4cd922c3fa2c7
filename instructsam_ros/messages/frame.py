"""Image messages of either type to the `Frame` that models process."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from instructsam_model import Frame
from instructsam_ros.messages.color import SensorBits
from instructsam_ros.messages.compressed_image import read_compressed_image
from instructsam_ros.messages.image import read_image
from instructsam_ros.messages.stamp import read_stamp_ns


def read_frame(message: Image | CompressedImage, sensor: SensorBits | None = None) -> Frame:
    """The image of a message as a `Frame` with the message's stamp and frame id.

    Args:
        message: the image.
        sensor: of the camera; None for a single image.

    Raises:
        FrameError: the message is not a color or gray image, or its fields are inconsistent.
    """
    read = read_compressed_image if isinstance(message, CompressedImage) else read_image
    return Frame(read(message, sensor), read_stamp_ns(message.header.stamp), message.header.frame_id)
