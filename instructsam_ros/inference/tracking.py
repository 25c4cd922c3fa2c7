"""Which instance is which from picture to picture. Nothing here knows ROS.

A mask is compared with that of each track, moved on as fast as it was moving, and the best pairing of all is kept
(Kuhn 1955, as SORT does with boxes: Bewley et al. 2016). Masks, because boxes of things on a table overlap when the
things do not. What is left is compared once more, with tracks as they were seen last (as OC-SORT does: Cao et al.,
2023): a thing may stop at once, and the speed of one with a ragged mask is a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from instructsam_model import Instance
from instructsam_model.masks import tight_box

MAX_SAMPLES = 128
"""An overlap of two masks is counted on at most so many rows and columns: 20 against 20 take a few ms at 1080p."""
SMOOTHING = 0.5
"""How much of a track's velocity is that of the last step: an object that gets hidden seems to move."""


@dataclass(frozen=True)
class Shape:
    """A mask cut to its box.

    Attributes:
        pixels: bool, the mask inside the box.
        corner_xy: int64 (2,), upper left corner of the box in the picture.
        area: pixels on the object.
    """

    pixels: NDArray[np.bool_]
    corner_xy: NDArray[np.int64]
    area: int

    @property
    def center_xy(self) -> NDArray[np.float64]:
        """float64 (2,), the column and the row that cut it in half: stray pixels far away do not move them."""
        halves = [np.searchsorted(self.pixels.sum(axis).cumsum(), self.area / 2) for axis in (0, 1)]
        return np.asarray(self.corner_xy + np.array(halves), dtype=np.float64)

    def iou(self, other: Shape, shift_xy: NDArray[np.int64]) -> float:
        """Intersection over union with `other` moved by `shift_xy` pixels."""
        corners = np.stack((self.corner_xy, other.corner_xy + shift_xy))
        sizes: NDArray[np.int64] = np.array((self.pixels.shape[::-1], other.pixels.shape[::-1]))
        low, high = corners.max(axis=0), (corners + sizes).min(axis=0)
        if np.any(high <= low):
            return 0.0
        step = max(1, int((high - low).max()) // MAX_SAMPLES)
        windows = [
            shape.pixels[top : top + high[1] - low[1] : step, left : left + high[0] - low[0] : step]
            for shape, (left, top) in zip((self, other), low - corners, strict=True)
        ]
        shared = int(np.count_nonzero(windows[0] & windows[1])) * step**2
        return min(shared / max(self.area + other.area - shared, 1), 1.0)


@dataclass
class Track:
    """An object that was seen.

    Attributes:
        id: its name.
        shape: where it was seen last.
        velocity_xy: pixels from one picture to the next.
        missed: pictures since then, the one that is looked at included.
    """

    id: str
    shape: Shape
    velocity_xy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    missed: int = 0

    @property
    def shift_xy(self) -> NDArray[np.int64]:
        """How far it should have come since it was seen last."""
        return np.rint(self.velocity_xy * self.missed).astype(np.int64)

    def move_to(self, shape: Shape) -> None:
        """It has been seen again, in the last of the `missed` pictures."""
        step_xy = (shape.center_xy - self.shape.center_xy) / self.missed
        self.velocity_xy = SMOOTHING * step_xy + (1 - SMOOTHING) * self.velocity_xy
        self.shape, self.missed = shape, 0


class Tracker:
    """Gives instances of one instruction and one camera ids that last.

    Args:
        next_id: makes an id that no object has had.
        min_iou: two masks that overlap less are not of the same object, 0..1.
        max_missed: after so many pictures without it an object is forgotten.
    """

    def __init__(self, next_id: Callable[[], str], min_iou: float = 0.3, max_missed: int = 15) -> None:
        self.min_iou = min_iou
        self.max_missed = max_missed
        self._next_id = next_id
        self._tracks: list[Track] = []

    def update(self, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """The instances of the next picture, with ids; one with an empty mask has none."""
        shapes = {place: shape for place, each in enumerate(instances) if (shape := cut(each.mask)) is not None}
        ids = dict.fromkeys(range(len(instances)), '')
        for track in self._tracks:
            track.missed += 1
        for moving in (True, False):
            lost = [track for track in self._tracks if track.missed]
            for track, place in self._pairs(lost, shapes, moving=moving):
                track.move_to(shapes.pop(place))
                ids[place] = track.id
        self._tracks = [track for track in self._tracks if track.missed <= self.max_missed]
        for place, shape in shapes.items():
            ids[place] = self._next_id()
            self._tracks.append(Track(ids[place], shape))
        return tuple(replace(each, id=ids[place]) for place, each in enumerate(instances))

    def _pairs(self, tracks: list[Track], shapes: dict[int, Shape], *, moving: bool) -> list[tuple[Track, int]]:
        """The tracks that are seen again, and the place of the instance that each is."""
        places = list(shapes)
        ious = np.zeros((len(tracks), len(places)))
        for row, track in enumerate(tracks):
            shift_xy = track.shift_xy if moving else np.zeros(2, dtype=np.int64)
            ious[row] = [shapes[place].iou(track.shape, shift_xy) for place in places]
        ious[ious < self.min_iou] = 0.0
        best = zip(*linear_sum_assignment(ious, maximize=True), strict=True)
        return [(tracks[row], places[column]) for row, column in best if ious[row, column] > 0]


def cut(mask: NDArray[np.bool_]) -> Shape | None:
    """The mask cut to its box; None when it is empty."""
    box = tight_box(mask)
    if box is None:
        return None
    left, top, right, bottom = (int(side) for side in box)
    pixels = mask[top:bottom, left:right].copy()  # a view would keep the whole mask
    return Shape(pixels, np.array((left, top)), int(np.count_nonzero(pixels)))
