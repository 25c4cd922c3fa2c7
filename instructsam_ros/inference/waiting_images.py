"""`WaitingImages`: the images of one camera that wait for the model, and which of them is next. Imports no ROS.

Usually only the newest image waits. If some images of a camera have depth and others do not, the newest one with depth
is next, and those whose depth may still arrive wait as well.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from instructsam_ros.inference.requests import CapturedImage

MAX_IMAGES = 16
"""Number of images that may wait for their depth: half a second at 30 Hz."""


class ImagePreference(Protocol):
    """Tells which images are processed rather than newer ones."""

    @property
    def max_hold_s(self) -> float:
        """Time after which any image is processed."""
        ...

    def prefers(self, search: Any) -> bool | None:
        """Return whether to process the image with this search for depth; None if that is not known yet."""
        ...


class NoPreference:
    """Every image is as good as any other."""

    max_hold_s = 0.0

    def prefers(self, search: Any) -> bool:
        """Return True."""
        return True


class WaitingImages:
    """The images of one camera, oldest first.

    Args:
        preference: which images to prefer.
    """

    def __init__(self, preference: ImagePreference | None = None) -> None:
        self._preference = preference or NoPreference()
        self._images: list[CapturedImage] = []
        # Arrival of the oldest image since the last one was taken; images are dropped before their time.
        self._since_s = 0.0

    def __len__(self) -> int:
        return len(self._images)

    def add(self, capture: CapturedImage) -> int:
        """Add the newest image; return the number of images that it replaces."""
        if not self._images:
            self._since_s = capture.arrived_s
        # Those of an earlier lap of a bag have no depth any more.
        kept = [image for image in self._images if image.lap == capture.lap]
        images = [*kept, capture]
        verdicts = [self._preference.prefers(image.depth) for image in images]
        # Nothing is taken before the newest image that is preferred; what is not preferred is worse than a newer image.
        first = max((index for index, verdict in enumerate(verdicts) if verdict), default=0)
        images = [
            image
            for index, (image, verdict) in enumerate(zip(images, verdicts, strict=True))
            if index >= first and (verdict is not False or image is capture)
        ]
        before, self._images = len(self._images), images[-MAX_IMAGES:]
        return before + 1 - len(self._images)

    def choose(self, after_s: float = 0.0) -> CapturedImage | None:
        """Return the image to process, of those that have arrived after a time; None if it is too early to choose."""
        images = [image for image in self._images if image.arrived_s >= after_s]
        for image in reversed(images):
            if self._preference.prefers(image.depth):
                return image
        is_held = time.monotonic() < max(self._since_s, after_s) + self._preference.max_hold_s
        return images[-1] if images and not is_held else None

    def hold_s(self) -> float:
        """Return the seconds after which `choose` returns an image in any case."""
        return max(self._since_s + self._preference.max_hold_s - time.monotonic(), 0.0)

    def take(self, capture: CapturedImage) -> int:
        """Remove an image and older ones; return the number of older ones."""
        index = self._images.index(capture)
        self._images = self._images[index + 1 :]
        if self._images:
            self._since_s = self._images[0].arrived_s
        return index

    def put_back(self, capture: CapturedImage) -> bool:
        """Add an image that was taken, unless a newer one is waiting; return whether one is."""
        if not self._images:
            self._images, self._since_s = [capture], capture.arrived_s
            return False
        return True

    def clear(self) -> None:
        """Remove all images."""
        self._images = []
