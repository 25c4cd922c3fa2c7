"""`MessageBuffer`: the latest messages that wait to be displayed. Older ones are replaced, never queued."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instructsam_ros.msg import Segmentation

BUFFER_BYTES = 256 * 2**20
"""Size of the buffered images: 3 s of 1280x720 or 10 s of 640x480 at 30 Hz, the longest delay of a result."""
IMAGE_TIMEOUT_S = 0.5
"""How long a result waits for its image, which can arrive after it if inference is fast."""


@dataclass(frozen=True, eq=False)
class Update:
    """Messages to display; None where nothing has arrived since the last update.

    Attributes:
        image: the newest image, an Image or CompressedImage.
        result: the newest result.
        result_image: the image that the result belongs to; None if it did not arrive or is no longer buffered.
        cloud: the newest point cloud.
    """

    image: Any = None
    result: Segmentation | None = None
    result_image: Any = None
    cloud: PointCloud2 | None = None


class MessageBuffer:
    """Filled by the thread of the executor, emptied by the thread that displays."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Images by header, oldest first.
        self._images: OrderedDict[tuple[int, int, str], Any] = OrderedDict()
        self._images_bytes = 0
        self._image: Any = None
        self._result: Segmentation | None = None
        self._result_deadline_s = 0.0
        self._cloud: PointCloud2 | None = None
        self._closed = False

    def put_image(self, message: Any) -> None:
        """Add an image, to be displayed and to be buffered for its result."""
        with self._changed:
            self._buffer(message)
            self._image = message
            self._changed.notify()

    def put_result(self, message: Segmentation) -> None:
        """Add a result."""
        with self._changed:
            # A replaced result passes on its deadline: otherwise frequent results without images would wait forever.
            if self._result is None:
                self._result_deadline_s = time.monotonic() + IMAGE_TIMEOUT_S
            self._result = message
            self._changed.notify()

    def put_cloud(self, message: PointCloud2) -> None:
        """Add a point cloud."""
        with self._changed:
            self._cloud = message
            self._changed.notify()

    def take(self) -> Update | None:
        """Wait for something to display and remove it from the buffer; None after `close`."""
        with self._changed:
            while not self._closed:
                result, result_image = self._take_result()
                if result is not None or self._image is not None or self._cloud is not None:
                    update = Update(self._image, result, result_image, self._cloud)
                    self._image = self._cloud = None
                    return update
                self._changed.wait(IMAGE_TIMEOUT_S if self._result is not None else None)
            return None

    def close(self) -> None:
        """Make `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _take_result(self) -> tuple[Segmentation | None, Any]:
        """The result and its image, once the image has arrived or the deadline is over."""
        result = self._result
        if result is None:
            return None, None
        image = self._images.get(_key(result.header))
        if image is None and time.monotonic() < self._result_deadline_s:
            return None, None
        self._result = None
        return result, image

    def _buffer(self, message: Any) -> None:
        replaced = self._images.pop(_key(message.header), None)
        self._images_bytes += len(message.data) - (len(replaced.data) if replaced is not None else 0)
        self._images[_key(message.header)] = message
        while self._images_bytes > BUFFER_BYTES and len(self._images) > 1:
            _, oldest = self._images.popitem(last=False)
            self._images_bytes -= len(oldest.data)


def _key(header: Header) -> tuple[int, int, str]:
    # Results carry the header of their image unchanged, so all of it can be compared.
    return header.stamp.sec, header.stamp.nanosec, header.frame_id
