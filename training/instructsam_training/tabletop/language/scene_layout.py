"""`Layout`: how the things of a view lie to each other, with margins wide enough that nobody would object."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.language.ternary_logic import Verdict, exceeds
from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import Thing, View

Relation = Literal['left', 'right', 'front', 'behind', 'on', 'inside', 'beside']

SIZE_RATIO = 1.25
"""Of lengths: so much longer in each direction is larger, so much higher is taller."""
DISTANCE_RATIO = 1.3
SIDE_MARGIN = 0.04
"""Share of the picture's width."""
DEPTH_MARGIN_M = 0.04
EXTENT_MARGIN = 0.2
"""Of the extents of both things: their centers lie at least so far apart."""
BESIDE_M = 0.03
APART_M = 0.08
"""Gaps up to the first are beside each other, gaps from the second on are not."""
LEAST_VISIBLE_TO_COMPARE = 0.6
LEAST_VISIBLE = 0.4
LEAST_AREA = 0.0008
"""Share of the picture."""
SURFACE_POINTS = 200
FLAT_SHARE = 0.35
"""Categories less high than this share of their longest side are flat or lie."""
UPRIGHT_M = 0.01
"""A standing thing's middle is at half its height, give or take so much."""


class Layout:
    """The things of one view.

    Args:
        view: left, right, front and behind are those of its camera.
    """

    def __init__(self, view: View) -> None:
        self.things = view.things
        self._view = view
        self._by_label = {thing.label: thing for thing in view.things}
        self._surfaces: dict[int, npt.NDArray[np.float64]] = {}

    @cached_property
    def clear(self) -> tuple[Thing, ...]:
        """Things of which enough is visible to ask for them."""
        least_px = LEAST_AREA * self._view.labels.size
        return tuple(thing for thing in self.things if thing.visible >= LEAST_VISIBLE and thing.area_px >= least_px)

    @cached_property
    def _away(self) -> npt.NDArray[np.float64]:
        """Direction on the table that leads away from the camera, of length 1 [2]."""
        forward, up = self._view.camera_pose[:2, 2], -self._view.camera_pose[:2, 1]
        # Their sum is level and away for every tilt of a camera that does not roll, also for one looking straight down.
        direction = forward + up
        return np.asarray(direction / np.linalg.norm(direction))

    def holds(self, relation: Relation, thing: Thing, anchor: Thing) -> Verdict:
        """Whether the thing lies so to the anchor."""
        if relation in ('on', 'inside'):
            return self._rests(relation, thing, anchor)
        if self._is_stacked(thing, anchor) or self._is_stacked(anchor, thing):
            return None
        if relation in ('left', 'right'):
            return self.is_left(thing, anchor) if relation == 'left' else self.is_left(anchor, thing)
        if relation in ('front', 'behind'):
            return self.is_nearer(thing, anchor) if relation == 'front' else self.is_nearer(anchor, thing)
        return self._is_beside(thing, anchor)

    def is_left(self, thing: Thing, other: Thing) -> Verdict:
        """Whether its visible pixels lie further to the left: their middle clearly, and both of their ends."""
        width = self._view.labels.shape[1]
        (x1, _, x2, _), (other_x1, _, other_x2, _) = thing.box_xyxy, other.box_xyxy
        extents = x2 - x1 + other_x2 - other_x1
        by_middle = exceeds((other_x1 + other_x2 - x1 - x2) / 2, max(SIDE_MARGIN * width, EXTENT_MARGIN * extents))
        return by_middle if by_middle == (x1 < other_x1) == (x2 < other_x2) else None

    def is_nearer(self, thing: Thing, other: Thing) -> Verdict:
        """Whether it lies nearer to the camera along the table: its middle clearly, and its nearest point."""
        distance = float(self._away @ np.subtract(other.position_m, thing.position_m)[:2])
        by_middle = exceeds(distance, max(DEPTH_MARGIN_M, EXTENT_MARGIN * (side_m(thing) + side_m(other))))
        return by_middle if by_middle == (self._nearest_m(thing) < self._nearest_m(other)) else None

    def is_larger(self, thing: Thing, other: Thing) -> Verdict:
        """Whether it is larger, both in volume and in length: a knife is neither larger nor smaller than a box."""
        by_volume = self._compares(thing.volume_m3, other.volume_m3, SIZE_RATIO**3, thing, other)
        by_length = self._compares(length_m(thing), length_m(other), SIZE_RATIO, thing, other)
        return by_volume if by_volume == by_length else None

    def is_taller(self, thing: Thing, other: Thing) -> Verdict:
        """Whether it is taller, wherever it stands; a hammer never is, but things can be taller than it."""
        verdict = self._compares(thing.height_m, other.height_m, SIZE_RATIO, thing, other)
        return verdict if _has_height(thing if verdict else other) else None

    def is_shorter(self, thing: Thing, other: Thing) -> Verdict:
        """Whether it is less tall, of things that have a height to speak of."""
        return self.is_taller(other, thing) if _has_height(thing) and _has_height(other) else None

    def is_closer(self, thing: Thing, other: Thing, anchor: Thing) -> Verdict:
        """Whether it is closer to the anchor than the other is."""
        distances = [math.dist(each.position_m, anchor.position_m) for each in (thing, other)]
        return exceeds(math.log(distances[1] / distances[0]), math.log(DISTANCE_RATIO)) if all(distances) else None

    def _compares(self, amount: float, other: float, ratio: float, *things: Thing) -> Verdict:
        """What is partly hidden may be of any size, for who looks."""
        if any(thing.visible < LEAST_VISIBLE_TO_COMPARE for thing in things):
            return None
        return exceeds(math.log(amount / other), math.log(ratio))

    def _rests(self, relation: Relation, thing: Thing, anchor: Thing) -> Verdict:
        support = thing.on if relation == 'on' else thing.inside
        if support == anchor.label:
            return True
        return None if self._is_stacked(thing, anchor) else False

    def _is_stacked(self, thing: Thing, below: Thing) -> bool:
        """Whether it rests on or in the other, or on what does."""
        supports = [label for label in (thing.on, thing.inside) if label is not None]
        return any(
            label == below.label or (label in self._by_label and self._is_stacked(self._by_label[label], below))
            for label in supports
        )

    def _is_beside(self, thing: Thing, anchor: Thing) -> Verdict:
        """By the gap between what is visible of both, and the one between their sizes: either hides a part of it."""
        seen_m = self._gap_m(thing, anchor)
        centers_m = math.dist(thing.position_m[:2], anchor.position_m[:2])
        if seen_m <= BESIDE_M:
            return True
        return False if min(seen_m, centers_m - (side_m(thing) + side_m(anchor)) / 2) >= APART_M else None

    def _gap_m(self, thing: Thing, other: Thing) -> float:
        """Least distance along the table between visible points of both."""
        difference = self._surface(thing)[:, None] - self._surface(other)[None]
        return float(np.sqrt((difference**2).sum(-1).min()))

    def _nearest_m(self, thing: Thing) -> float:
        """How far away from the camera its nearest visible point lies, along the table."""
        return float((self._surface(thing) @ self._away).min())

    def _surface(self, thing: Thing) -> npt.NDArray[np.float64]:
        """Visible points of a thing in the table's plane [N, 2], meters."""
        if thing.label not in self._surfaces:
            view = self._view
            x1, y1, x2, y2 = thing.box_xyxy
            rows, columns = np.nonzero(view.labels[y1:y2, x1:x2] == thing.label)
            chosen = slice(None, None, -(-len(rows) // SURFACE_POINTS))
            rows, columns = rows[chosen] + y1, columns[chosen] + x1
            pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
            points = np.linalg.inv(view.intrinsics) @ pixels * view.depth_m[rows, columns]
            self._surfaces[thing.label] = (view.camera_pose[:2, :3] @ points + view.camera_pose[:2, 3:]).T
        return self._surfaces[thing.label]


def _has_height(thing: Thing) -> bool:
    """Whether people speak of how tall it is, rather than how long."""
    known = CATALOG[thing.category]
    is_upright = not known.lies or (thing.on is None and thing.position_m[2] > thing.height_m / 2 - UPRIGHT_M)
    return is_upright and known.size_m[2] > FLAT_SHARE * max(known.size_m)


def side_m(thing: Thing) -> float:
    """Length of a side of its footprint, were that a square."""
    return math.sqrt(thing.volume_m3 / thing.height_m)


def length_m(thing: Thing) -> float:
    """Length of its longest side, were it of the usual proportions of its category."""
    size_m = CATALOG[thing.category].size_m
    return max(size_m) * math.pow(thing.volume_m3 / math.prod(size_m), 1 / 3)
