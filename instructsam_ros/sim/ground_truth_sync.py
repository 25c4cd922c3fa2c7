"""`GroundTruthSample`: all that a camera says with one stamp."""

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

from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.messages.depth_image import read_depth
from instructsam_ros.messages.geometry import read_intrinsics
from instructsam_ros.messages.image import read_image, read_pixels
from instructsam_ros.messages.stamp import read_stamp_ns

TOPICS = {
    'image': Image,
    'depth/image': Image,
    'camera_info': CameraInfo,
    'sim_camera/truth/labels': Image,
    'sim_camera/truth/boxes': MarkerArray,
}
KEPT = 300
"""Moments; half a minute of a camera of 10 Hz."""


@dataclass(frozen=True, eq=False)
class GroundTruthSample:
    """What a camera saw at one time, and what that was.

    Attributes:
        image_rgb: uint8 (H, W, 3).
        depth_m: float32 (H, W), along the optical axis; NaN or 0 where unknown.
        intrinsics: float64 (3, 3).
        labels: uint16 (H, W), the truth: which thing each pixel shows, 0 for none.
        boxes: the truth: the box around each thing in the optical frame, by label.
    """

    image_rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    intrinsics: NDArray[np.float64]
    labels: NDArray[np.uint16]
    boxes: Mapping[int, OrientedBox] = field(default_factory=dict)


class GroundTruthSynchronizer:
    """Listens to a camera and puts together what has the same stamp; the newest `KEPT` are kept.

    Args:
        node: that listens.
    """

    def __init__(self, node: Node) -> None:
        self._heard: dict[int, dict[str, Any]] = {}
        for topic, kind in TOPICS.items():
            node.create_subscription(kind, topic, partial(self._hear, topic), QoSProfile(depth=5))

    def at(self, stamp_ns: int) -> GroundTruthSample | None:
        """The moment of a stamp; None while something of it is missing.

        Raises:
            FrameError: a picture cannot be read.
        """
        heard = self._heard.get(stamp_ns, {})
        if len(heard) < len(TOPICS):
            return None
        image, depth, camera_info, labels, boxes = (heard[topic] for topic in TOPICS)
        return GroundTruthSample(
            read_image(image),
            read_depth(depth),
            read_intrinsics(camera_info),
            read_pixels(labels, ('mono16',), 'a picture of labels'),
            {each.id: OrientedBox.read(each.pose, each.scale) for each in boxes.markers if each.action == Marker.ADD},
        )

    def clear(self) -> None:
        """Forget all."""
        self._heard.clear()

    def _hear(self, topic: str, message: Any) -> None:
        header = message.markers[0].header if isinstance(message, MarkerArray) else message.header
        self._heard.setdefault(read_stamp_ns(header.stamp), {})[topic] = message
        if len(self._heard) > KEPT:
            del self._heard[min(self._heard)]
