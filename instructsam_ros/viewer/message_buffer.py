"""`MessageBuffer`: what a viewer has heard and not yet shown. Newest wins; nothing queues."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from instructsam_ros.msg import Segmentation

KEPT_BYTES = 256 * 2**20
"""Of pictures: at 30 Hz 3 s of 720p, or 10 s of 640x480; an answer may come so late and still find its picture."""
PATIENCE_S = 0.5
"""How long an answer waits for its picture, which may come after it when the model is quick."""


@dataclass(frozen=True, eq=False)
class News:
    """What there is to show; None where nothing has come since the last time.

    Attributes:
        picture: the newest, an Image or CompressedImage.
        answer: the newest.
        answered_picture: what the answer is about; None when it was not heard, or is no longer kept.
        cloud: the newest.
    """

    picture: Any = None
    answer: Segmentation | None = None
    answered_picture: Any = None
    cloud: PointCloud2 | None = None


class MessageBuffer:
    """Filled by the executor's thread, emptied by the thread that shows."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: OrderedDict[tuple[int, int, str], Any] = OrderedDict()
        self._kept_bytes = 0
        self._picture: Any = None
        self._answer: Segmentation | None = None
        self._answer_due_s = 0.0
        self._cloud: PointCloud2 | None = None
        self._closed = False

    def put_picture(self, message: Any) -> None:
        """A picture has arrived: to be shown, and to be kept for the answer about it."""
        with self._changed:
            self._keep(message)
            self._picture = message
            self._changed.notify()

    def put_answer(self, message: Segmentation) -> None:
        """An answer has arrived."""
        with self._changed:
            if self._answer is None:  # else answers that come often, and lack their pictures, would wait for ever
                self._answer_due_s = time.monotonic() + PATIENCE_S
            self._answer = message
            self._changed.notify()

    def put_cloud(self, message: PointCloud2) -> None:
        """Points have arrived."""
        with self._changed:
            self._cloud = message
            self._changed.notify()

    def take(self) -> News | None:
        """Wait until there is something to show, and take it; None after `close`."""
        with self._changed:
            while not self._closed:
                ready, picture = self._ready_answer()
                if ready is not None or self._picture is not None or self._cloud is not None:
                    news = News(self._picture, ready, picture, self._cloud)
                    self._picture = self._cloud = None
                    return news
                self._changed.wait(PATIENCE_S if self._answer is not None else None)
            return None

    def close(self) -> None:
        """Let `take` return."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _ready_answer(self) -> tuple[Segmentation | None, Any]:
        """The answer and its picture, once it is there or has been waited for."""
        answer = self._answer
        if answer is None:
            return None, None
        picture = self._kept.get(_key(answer.header))
        if picture is None and time.monotonic() < self._answer_due_s:
            return None, None
        self._answer = None
        return answer, picture

    def _keep(self, message: Any) -> None:
        replaced = self._kept.pop(_key(message.header), None)
        self._kept_bytes += len(message.data) - (len(replaced.data) if replaced is not None else 0)
        self._kept[_key(message.header)] = message
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.data)


def _key(header: Header) -> tuple[int, int, str]:
    """The whole header, since answers carry that of their picture bit for bit."""
    return header.stamp.sec, header.stamp.nanosec, header.frame_id
