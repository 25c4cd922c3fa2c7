"""`GroundTruthSample`: all messages of the simulated camera with one time stamp, and the buffer that collects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import Marker, MarkerArray

from instructsam_ros.messages.camera_info import read_camera
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.depth_image import read_depth
from instructsam_ros.messages.image import read_image, read_pixels
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.messages.stamp import read_stamp_ns

TOPICS = {
    'image': Image,
    'depth/image': Image,
    'camera_info': CameraInfo,
    'sim_camera/ground_truth/labels': Image,
    'sim_camera/ground_truth/boxes': MarkerArray,
}
BUFFER_SIZE = 300
"""Number of stamps; half a minute of a camera of 10 Hz."""


@dataclass(frozen=True, eq=False)
class GroundTruthSample:
    """An RGB-D image and its ground truth.

    Attributes:
        image_rgb: uint8 (H, W, 3).
        depth_m: float32 (H, W), along the optical axis; NaN or 0 where unknown.
        camera: of the images.
        labels: uint16 (H, W), the label of the object that each pixel shows, 0 for none.
        boxes: true box of each visible object in the optical frame, by label.
    """

    image_rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    camera: CameraModel
    labels: NDArray[np.uint16]
    boxes: Mapping[int, OrientedBox] = field(default_factory=dict)


class GroundTruthSynchronizer:
    """Subscribes to the simulated camera and groups its messages by stamp; keeps the newest `BUFFER_SIZE` stamps.

    Args:
        node: node that subscribes.
    """

    def __init__(self, node: Node) -> None:
        # Messages by stamp in ns, then by topic.
        self._messages: dict[int, dict[str, Any]] = {}
        for topic, message_type in TOPICS.items():
            node.create_subscription(message_type, topic, partial(self._put, topic), QoSProfile(depth=5))

    def get(self, stamp_ns: int) -> GroundTruthSample | None:
        """The sample of a stamp; None until all of its messages have arrived.

        Raises:
            FrameError: an image cannot be read.
        """
        messages = self._messages.get(stamp_ns, {})
        if len(messages) < len(TOPICS):
            return None
        # In the order of TOPICS.
        image, depth, camera_info, labels, boxes = (messages[topic] for topic in TOPICS)
        return GroundTruthSample(
            read_image(image),
            read_depth(depth),
            read_camera(camera_info, is_rectified=False),
            read_pixels(labels, ('mono16',), 'a label image'),
            {each.id: OrientedBox.read(each.pose, each.scale) for each in boxes.markers if each.action == Marker.ADD},
        )

    def clear(self) -> None:
        """Drop all messages."""
        self._messages.clear()

    def _put(self, topic: str, message: Any) -> None:
        # A MarkerArray has no header of its own; the first marker is always DELETEALL and has that of the image.
        header = message.markers[0].header if isinstance(message, MarkerArray) else message.header
        self._messages.setdefault(read_stamp_ns(header.stamp), {})[topic] = message
        if len(self._messages) > BUFFER_SIZE:
            del self._messages[min(self._messages)]
