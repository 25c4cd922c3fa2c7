"""`Tracker`: gives the same object the same id from image to image. Imports no ROS.

Each mask is compared with the mask of each track, moved on at the track's velocity, and the best assignment of all is
kept (Kuhn 1955, as SORT does with boxes: Bewley et al. 2016). Masks are used because boxes of objects on a table
overlap where the objects do not. Masks without a track are compared again, with tracks where they were last seen (as
OC-SORT does: Cao et al., 2023), because objects stop suddenly and the velocity of a ragged mask is uncertain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from instructsam_model import Instance
from instructsam_model.masks import tight_box
from instructsam_ros.options import ParameterGroup, parameter

MAX_SAMPLES = 128
"""Maximum number of rows and columns used to measure an overlap: 20 by 20 masks take a few ms at 1080p."""
SMOOTHING = 0.5
"""Weight of the last step in a track's velocity; below 1, because an object that becomes occluded seems to move."""


@dataclass(frozen=True)
class TrackingOptions(ParameterGroup):
    """Options of tracking.

    Attributes:
        enabled: False for no ids.
        min_iou: see the description.
        max_missed: see the description.
    """

    enabled: bool = parameter(True, 'Assign ids to instances; an object keeps its id from image to image.')
    min_iou: float = parameter(0.3, 'Minimum IoU of the masks of an object in two images.', range_=(0.0, 1.0))
    max_missed: int = parameter(
        15, 'Number of images that an object can be missing from before it gets a new id.', range_=(0, 10000)
    )


@dataclass(frozen=True)
class Shape:
    """A mask cropped to its box.

    Attributes:
        pixels: bool (h, w), the mask inside the box.
        corner_xy: int64 (2,), upper left corner of the box in the image.
        area: number of pixels on the object.
    """

    pixels: NDArray[np.bool_]
    corner_xy: NDArray[np.int64]
    area: int

    @property
    def center_xy(self) -> NDArray[np.float64]:
        """Median column and row, float64 (2,); unlike the mean, stray pixels do not move it."""
        halves = [np.searchsorted(self.pixels.sum(axis).cumsum(), self.area / 2) for axis in (0, 1)]
        return np.asarray(self.corner_xy + np.array(halves), dtype=np.float64)

    def iou(self, other: Shape, shift_xy: NDArray[np.int64]) -> float:
        """Return the intersection over union with `other` moved by `shift_xy` pixels."""
        # Intersection of the two boxes: low, high (2,), x and y.
        corners = np.stack((self.corner_xy, other.corner_xy + shift_xy))
        sizes: NDArray[np.int64] = np.array((self.pixels.shape[::-1], other.pixels.shape[::-1]))
        low, high = corners.max(axis=0), (corners + sizes).min(axis=0)
        if np.any(high <= low):
            return 0.0
        step = max(1, int((high - low).max()) // MAX_SAMPLES)
        # Both masks inside the intersection, every step-th row and column.
        windows = [
            shape.pixels[top : top + high[1] - low[1] : step, left : left + high[0] - low[0] : step]
            for shape, (left, top) in zip((self, other), low - corners, strict=True)
        ]
        # The subsampled count stands for step x step pixels each; the areas are exact.
        shared = int(np.count_nonzero(windows[0] & windows[1])) * step**2
        return min(shared / max(self.area + other.area - shared, 1), 1.0)


@dataclass
class Track:
    """An object that was seen before.

    Attributes:
        id: unique in this process.
        shape: its mask when it was last seen.
        velocity_xy: float64 (2,), pixels per image.
        missed: number of images since then, including the current one.
    """

    id: str
    shape: Shape
    velocity_xy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    missed: int = 0

    @property
    def shift_xy(self) -> NDArray[np.int64]:
        """Expected displacement since it was last seen, int64 (2,), pixels."""
        return np.rint(self.velocity_xy * self.missed).astype(np.int64)

    def move_to(self, shape: Shape) -> None:
        """Set the mask in the current image."""
        step_xy = (shape.center_xy - self.shape.center_xy) / self.missed
        self.velocity_xy = SMOOTHING * step_xy + (1 - SMOOTHING) * self.velocity_xy
        self.shape, self.missed = shape, 0


class Tracker:
    """Tracks the instances of one instruction in the images of one camera.

    Args:
        next_id: returns an id that no object has had.
        options: see there.

    Attributes:
        options: may be replaced at any time.
    """

    def __init__(self, next_id: Callable[[], str], options: TrackingOptions | None = None) -> None:
        self._next_id = next_id
        self.options = options or TrackingOptions()
        self._tracks: list[Track] = []

    def update(self, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """Return the instances of the next image with ids; an instance with an empty mask gets none."""
        shapes = {index: shape for index, each in enumerate(instances) if (shape := crop(each.mask)) is not None}
        ids = dict.fromkeys(range(len(instances)), '')
        # Until it is found in this image, each track counts as missing.
        for track in self._tracks:
            track.missed += 1
        # Moved on first; then, for what is left, where the tracks were last seen.
        for moving in (True, False):
            lost = [track for track in self._tracks if track.missed]
            for track, index in self._pairs(lost, shapes, moving=moving):
                track.move_to(shapes.pop(index))
                ids[index] = track.id
        self._tracks = [track for track in self._tracks if track.missed <= self.options.max_missed]
        # What has no track is a new object.
        for index, shape in shapes.items():
            ids[index] = self._next_id()
            self._tracks.append(Track(ids[index], shape))
        return tuple(replace(each, id=ids[index]) for index, each in enumerate(instances))

    def _pairs(self, tracks: list[Track], shapes: dict[int, Shape], *, moving: bool) -> list[tuple[Track, int]]:
        """Return pairs of a track that is seen again and the index of its instance."""
        indices = list(shapes)
        ious = np.zeros((len(tracks), len(indices)))  # (tracks, instances)
        for row, track in enumerate(tracks):
            shift_xy = track.shift_xy if moving else np.zeros(2, dtype=np.int64)
            ious[row] = [shapes[index].iou(track.shape, shift_xy) for index in indices]
        # Pairs below the threshold must not win the assignment for others.
        ious[ious < self.options.min_iou] = 0.0
        best = zip(*linear_sum_assignment(ious, maximize=True), strict=True)
        return [(tracks[row], indices[column]) for row, column in best if ious[row, column] > 0]


def crop(mask: NDArray[np.bool_]) -> Shape | None:
    """Return a mask cropped to its box; None if it is empty."""
    box = tight_box(mask)
    if box is None:
        return None
    left, top, right, bottom = (int(side) for side in box)
    pixels = mask[top:bottom, left:right].copy()  # a view would keep the whole mask
    return Shape(pixels, np.array((left, top)), int(np.count_nonzero(pixels)))
