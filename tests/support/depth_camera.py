"""A camera with depth that can be spoilt, for tests of what the node reports about it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from tests.support.graph import Graph

INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])


class DepthCamera:
    """Publishes depth of 1 m and a calibration for each image; publishers exist from the first one on.

    Attributes:
        spoil_depth, spoil_info: change a message before it is published; may return None for no message.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._depth = graph.peer.create_publisher(Image, 'depth/image', 5)
        self._info = graph.peer.create_publisher(CameraInfo, 'camera_info', 5)
        self.repair()

    def repair(self) -> None:
        """Publish right messages from now on."""
        self.spoil_depth: Callable[[Image], Image | None] = lambda depth: depth
        self.spoil_info: Callable[[CameraInfo], CameraInfo | None] = lambda info: info

    def image(self) -> Image:
        """An image with a red block; its depth and calibration are published at once."""
        image = self._graph.image('red')
        depth = make_depth(np.ones((48, 64), np.float32), '32FC1', image.header)
        info = make_camera_info(INTRINSICS, (64, 48), image.header)
        for publisher, message in ((self._info, self.spoil_info(info)), (self._depth, self.spoil_depth(depth))):
            if message is not None:
                publisher.publish(message)
        return image


def with_depth(depth_m: float) -> Callable[[Image], Image]:
    """Replace the depth of all pixels, in the unit of the encoding 32FC1."""
    return lambda depth: make_depth(np.full((48, 64), depth_m, np.float32), '32FC1', depth.header)


def delayed(offset_ns: int) -> Callable[[Image], Image]:
    """Add to the stamp of the depth."""

    def delay(depth: Image) -> Image:
        stamp_ns = read_stamp_ns(depth.header.stamp) + offset_ns
        depth.header = Header(stamp=make_stamp(stamp_ns), frame_id=depth.header.frame_id)
        return depth

    return delay
