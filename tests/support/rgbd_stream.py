"""`RgbdStream`: a camera whose depth comes late, rarely or with other stamps, beside the images."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from instructsam_ros.messages.camera_info import make_camera_info
from instructsam_ros.messages.depth_image import make_depth
from instructsam_ros.messages.image import make_image
from instructsam_ros.messages.stamp import make_stamp, read_stamp_ns
from instructsam_ros.msg import Segmentation
from tests.support.fake_segmenter import COLORS_RGB
from tests.support.graph import Graph

SIZE_WH = (64, 48)
INTRINSICS = np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]])
RATE_HZ = 30.0


@dataclass
class RgbdStream:
    """Publishes images at 30 Hz, and depth for some of them.

    Attributes:
        every: depth for every n-th image; 0 for none.
        delay_s: time from an image to its depth.
        offset_ns: added to the stamps of depth.
        on_image: called with number and stamp before each image.
    """

    graph: Graph
    every: int = 1
    delay_s: float = 0.0
    offset_ns: int = 0
    on_image: Callable[[int, Time], None] = lambda index, stamp: None

    def __post_init__(self) -> None:
        self._image = self.graph.camera()
        self._depth = self.graph.peer.create_publisher(Image, 'depth/image', 5)
        self._info = self.graph.peer.create_publisher(CameraInfo, 'camera_info', 5)
        self._pixels = np.zeros((48, 64, 3), dtype=np.uint8)
        self._pixels[16:32, 20:40] = COLORS_RGB['red']
        self._depth_m = np.full((48, 64), 1.0, dtype=np.float32)
        self._depth_m[16:32, 20:40] = 0.6

    def play(self, images: int) -> None:
        """Publish a number of images in real time, and wait for the last depth."""
        timers = []
        start_s = time.monotonic()
        for index in range(images):
            time.sleep(max(0.0, start_s + index / RATE_HZ - time.monotonic()))
            header = Header(stamp=make_stamp(time.time_ns()), frame_id='camera_optical_frame')
            self.on_image(index, header.stamp)
            self._info.publish(make_camera_info(INTRINSICS, SIZE_WH, header))
            self._image.publish(make_image(self._pixels, 'rgb8', header))
            if self.every and index % self.every == 0:
                stamp = make_stamp(read_stamp_ns(header.stamp) + self.offset_ns)
                depth = make_depth(self._depth_m, '32FC1', Header(stamp=stamp, frame_id=header.frame_id))
                timers.append(threading.Timer(self.delay_s, self._depth.publish, (depth,)))
                timers[-1].start()
        for timer in timers:
            timer.join()


def share_with_boxes(answers: list[Segmentation]) -> float:
    """Share of answers with instances that have 3D boxes."""
    found = [answer for answer in answers if answer.instances]
    return sum(answer.instances[0].size.x > 0 for answer in found) / max(len(found), 1)
