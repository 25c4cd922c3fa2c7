"""`SceneLayout`: spatial relations and size comparisons of the objects of a view.

Answers are ternary: within a margin around the decision, where people could disagree, they are unknown (None).
Frames are those of `scene.scene`; left, right, front and behind are relative to the camera. N is a number of points.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.language.ternary_logic import Ternary, exceeds
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView

Relation = Literal['left', 'right', 'front', 'behind', 'on', 'inside', 'beside']

SIZE_RATIO = 1.25
"""Ratio of lengths from which an object is larger, and of heights from which it is taller."""
DISTANCE_RATIO = 1.3
"""Ratio of distances from which an object is closer."""
SIDE_MARGIN = 0.04
"""Margin of left and right, as a fraction of the image width."""
DEPTH_MARGIN_M = 0.04
EXTENT_MARGIN = 0.2
"""Smallest distance between two centers, as a fraction of the sum of the extents of both objects."""
BESIDE_GAP_M = 0.03
SEPARATE_GAP_M = 0.08
"""Objects with gaps up to the first value are beside each other, with gaps from the second on they are not."""
MIN_VISIBLE_TO_COMPARE = 0.6
"""Smallest visible fraction of objects whose sizes are compared."""
MIN_VISIBLE = 0.4
"""Smallest visible fraction of a clearly visible object."""
MIN_AREA = 0.0008
"""Smallest area of a clearly visible object, as a fraction of the image."""
MAX_SURFACE_POINTS = 200
FLAT_RATIO = 0.35
"""Categories whose height is below this fraction of their longest side are flat."""
UPRIGHT_TOLERANCE_M = 0.01
"""Tolerance between the middle of an upright object and half its height."""


class SceneLayout:
    """Spatial relations of one view.

    Args:
        view: the image with its ground truth.
    """

    def __init__(self, view: SceneView) -> None:
        self.objects = view.objects
        self._view = view
        self._by_label = {obj.label: obj for obj in view.objects}
        self._surface_points: dict[int, npt.NDArray[np.float64]] = {}

    @cached_property
    def clearly_visible(self) -> tuple[SceneObject, ...]:
        """Objects that are visible enough to be asked for."""
        min_px = MIN_AREA * self._view.labels.size
        return tuple(obj for obj in self.objects if obj.visible >= MIN_VISIBLE and obj.area_px >= min_px)

    @cached_property
    def _away(self) -> npt.NDArray[np.float64]:
        """[2], unit vector on the table that points away from the camera."""
        forward, up = self._view.camera_pose[:2, 2], -self._view.camera_pose[:2, 1]
        # Without roll, both project onto the same direction; the sum is not zero even if it looks straight down.
        direction = forward + up
        return np.asarray(direction / np.linalg.norm(direction))

    def holds(self, relation: Relation, obj: SceneObject, anchor: SceneObject) -> Ternary:
        """Return whether a relation holds between an object and an anchor."""
        if relation in ('on', 'inside'):
            return self._is_supported(relation, obj, anchor)
        # A stacked object is neither left of, in front of, nor beside its support.
        if self._is_stacked(obj, anchor) or self._is_stacked(anchor, obj):
            return None
        if relation in ('left', 'right'):
            return self.is_left(obj, anchor) if relation == 'left' else self.is_left(anchor, obj)
        if relation in ('front', 'behind'):
            return self.is_nearer(obj, anchor) if relation == 'front' else self.is_nearer(anchor, obj)
        return self._is_beside(obj, anchor)

    def is_left(self, obj: SceneObject, other: SceneObject) -> Ternary:
        """Return whether an object is further left in the image: its middle by a margin, and both of its ends."""
        width = self._view.labels.shape[1]
        (x1, _, x2, _), (other_x1, _, other_x2, _) = obj.box_xyxy, other.box_xyxy
        extents = x2 - x1 + other_x2 - other_x1
        # Small objects need the image margin, large ones a fraction of their width.
        by_middle = exceeds((other_x1 + other_x2 - x1 - x2) / 2, max(SIDE_MARGIN * width, EXTENT_MARGIN * extents))
        return by_middle if by_middle == (x1 < other_x1) == (x2 < other_x2) else None

    def is_nearer(self, obj: SceneObject, other: SceneObject) -> Ternary:
        """Return whether an object is nearer to the camera: its middle by a margin, and its nearest point."""
        distance = float(self._away @ np.subtract(other.position_m, obj.position_m)[:2])
        by_middle = exceeds(
            distance, max(DEPTH_MARGIN_M, EXTENT_MARGIN * (footprint_side_m(obj) + footprint_side_m(other)))
        )
        return by_middle if by_middle == (self._nearest_m(obj) < self._nearest_m(other)) else None

    def is_larger(self, obj: SceneObject, other: SceneObject) -> Ternary:
        """Return whether an object is larger in volume and length; a knife is neither larger nor smaller than a box."""
        by_volume = self._compare(obj.volume_m3, other.volume_m3, SIZE_RATIO**3, obj, other)
        by_length = self._compare(length_m(obj), length_m(other), SIZE_RATIO, obj, other)
        return by_volume if by_volume == by_length else None

    def is_taller(self, obj: SceneObject, other: SceneObject) -> Ternary:
        """Return whether an object is taller; a flat one never is, but others can be taller than it."""
        value = self._compare(obj.height_m, other.height_m, SIZE_RATIO, obj, other)
        return value if _has_height(obj if value else other) else None

    def is_shorter(self, obj: SceneObject, other: SceneObject) -> Ternary:
        """Return whether an object is less tall; unknown for flat objects."""
        return self.is_taller(other, obj) if _has_height(obj) and _has_height(other) else None

    def is_closer(self, obj: SceneObject, other: SceneObject, anchor: SceneObject) -> Ternary:
        """Return whether an object is closer to the anchor than another."""
        distances = [math.dist(each.position_m, anchor.position_m) for each in (obj, other)]
        return exceeds(math.log(distances[1] / distances[0]), math.log(DISTANCE_RATIO)) if all(distances) else None

    def _compare(self, amount: float, other: float, ratio: float, *objects: SceneObject) -> Ternary:
        """Compare by ratio; unknown if an object is partly hidden, because its size cannot be seen."""
        if any(obj.visible < MIN_VISIBLE_TO_COMPARE for obj in objects):
            return None
        return exceeds(math.log(amount / other), math.log(ratio))

    def _is_supported(self, relation: Relation, obj: SceneObject, anchor: SceneObject) -> Ternary:
        support = obj.on if relation == 'on' else obj.inside
        if support == anchor.label:
            return True
        # Unknown for indirect support, and for 'on' against 'inside'.
        return None if self._is_stacked(obj, anchor) else False

    def _is_stacked(self, obj: SceneObject, below: SceneObject) -> bool:
        """Whether an object is on or in another, directly or through others."""
        supports = [label for label in (obj.on, obj.inside) if label is not None]
        return any(
            label == below.label or (label in self._by_label and self._is_stacked(self._by_label[label], below))
            for label in supports
        )

    def _is_beside(self, obj: SceneObject, anchor: SceneObject) -> Ternary:
        """Decide by the gap between visible points and the gap between footprints: hidden parts may be closer."""
        visible_gap_m = self._visible_gap_m(obj, anchor)
        centers_m = math.dist(obj.position_m[:2], anchor.position_m[:2])
        if visible_gap_m <= BESIDE_GAP_M:
            return True
        footprint_gap_m = centers_m - (footprint_side_m(obj) + footprint_side_m(anchor)) / 2
        return False if min(visible_gap_m, footprint_gap_m) >= SEPARATE_GAP_M else None

    def _visible_gap_m(self, obj: SceneObject, other: SceneObject) -> float:
        """Smallest distance on the table between visible points of two objects."""
        # [N, M, 2] for N and M points.
        difference = self._surface(obj)[:, None] - self._surface(other)[None]
        return float(np.sqrt((difference**2).sum(-1).min()))

    def _nearest_m(self, obj: SceneObject) -> float:
        """Position of the nearest visible point along the direction away from the camera."""
        return float((self._surface(obj) @ self._away).min())

    def _surface(self, obj: SceneObject) -> npt.NDArray[np.float64]:
        """[N, 2], visible points of an object in the table's plane, meters."""
        if obj.label not in self._surface_points:
            view = self._view
            x1, y1, x2, y2 = obj.box_xyxy
            rows, columns = np.nonzero(view.labels[y1:y2, x1:x2] == obj.label)
            # Every n-th pixel, n rounded up.
            chosen = slice(None, None, -(-len(rows) // MAX_SURFACE_POINTS))
            rows, columns = rows[chosen] + y1, columns[chosen] + x1
            # Homogeneous pixels [3, N] to the camera frame [3, N] to the table frame [2, N].
            pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
            points = np.linalg.inv(view.intrinsics) @ pixels * view.depth_m[rows, columns]
            self._surface_points[obj.label] = (view.camera_pose[:2, :3] @ points + view.camera_pose[:2, 3:]).T
        return self._surface_points[obj.label]


def _has_height(obj: SceneObject) -> bool:
    """Whether people describe an object as tall rather than long: it is upright and not flat."""
    category = CATALOG[obj.category]
    is_upright = not category.lies or (obj.on is None and obj.position_m[2] > obj.height_m / 2 - UPRIGHT_TOLERANCE_M)
    return is_upright and category.size_m[2] > FLAT_RATIO * max(category.size_m)


def footprint_side_m(obj: SceneObject) -> float:
    """Return the side of a square with the area of the object's footprint."""
    return math.sqrt(obj.volume_m3 / obj.height_m)


def length_m(obj: SceneObject) -> float:
    """Return the longest side of the object, assuming the proportions of its category."""
    size_m = CATALOG[obj.category].size_m
    return max(size_m) * math.pow(obj.volume_m3 / math.prod(size_m), 1 / 3)
