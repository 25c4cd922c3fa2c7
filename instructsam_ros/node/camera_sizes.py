"""`CameraSizes`: determines the image sizes of the cameras."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import CameraInfo, Image

from instructsam_ros.inference.image_sizes import ImageSizes, SizeWh
from instructsam_ros.inference.scheduler import Scheduler
from instructsam_ros.messages.camera_info import image_size


class CameraSizes:
    """Adds the sizes that messages show, whether the node is active or not.

    Args:
        sizes: gets the sizes.
        scheduler: woken up when there is a new one, so that the worker warms up for it.
    """

    def __init__(self, sizes: ImageSizes, scheduler: Scheduler) -> None:
        self._sizes = sizes
        self._scheduler = scheduler

    def add_image(self, message: Any) -> None:
        """Add the size of an image that has arrived; that of a compressed one is unknown until it is decoded."""
        if isinstance(message, Image):
            self._add((message.width, message.height))

    def add_camera_info(self, message: CameraInfo) -> None:
        """Add the size of the images that a calibration belongs to."""
        self._add(image_size(message))

    def _add(self, size_wh: SizeWh) -> None:
        if self._sizes.add(size_wh):
            self._scheduler.wake()
