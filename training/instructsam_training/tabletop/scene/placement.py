"""`Place`: where a thing of a size can stand: free on the table, on another thing, or inside of one.

Things never meet, but for a thing and what it stands on or is contained in: the rectangles under the boxes around them
are apart, or one is all above the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, hypot, pi, sin, sqrt

import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.scene.catalog import CATALOG, Category, Cavity
from instructsam_training.tabletop.scene.scene import Body, slid

CLEARANCE_M = 0.006
"""Between the rectangles of two things on the table."""
TOUCH_M = 1e-6
"""Rounding, between a thing and what it stands on."""
WALL_M = 0.002
"""Between what leans in a container and its walls."""
LYING = -pi / 2
TRIES = 40

Rectangle = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Where a thing may stand.

    Attributes:
        radius_m: things on the table are put in a circle of this radius around its middle; wider where it is full.
        table_m: length and depth of the table.
    """

    radius_m: float
    table_m: tuple[float, float]

    def on_table(self, rng: np.random.Generator, body: Body, others: tuple[Body, ...]) -> Body | None:
        """The thing somewhere free on the table; None where there is no room."""
        for radius in self.radius_m * np.linspace(1, 2, TRIES):
            angle, distance = rng.uniform(0, 2 * pi), radius * sqrt(rng.uniform())
            x, y = distance * cos(angle), 0.8 * distance * sin(angle)
            placed = stand(replace(body, yaw=float(rng.uniform(-pi, pi))), (x, y), 0.0)
            if self.is_free(placed, others):
                return placed
        return None

    def is_free(self, body: Body, others: tuple[Body, ...]) -> bool:
        """Whether a thing is all above the table and apart from the others, but for its bearer."""
        own = rectangle(body, CLEARANCE_M)
        inside = np.all(np.abs(own) < np.array(self.table_m) / 2)
        bearers = (body.on, body.inside)
        return bool(inside) and not any(meet(body, other) for other in others if other.label not in bearers)


def stand(body: Body, xy_m: tuple[float, float], height_m: float) -> Body:
    """The thing with its lowest point at a height, and its middle above x, y."""
    level = replace(body, position_m=(xy_m[0], xy_m[1], 0.0))
    return slid(level, (0, 0, height_m - level.corners_m[:, 2].min()))


def rectangle(body: Body, margin_m: float = 0.0) -> Rectangle:
    """[4, 2], corners of the rectangle under the box around a thing, in their order around it."""
    across = abs(cos(body.tilt)) * body.size_m[0] + abs(sin(body.tilt)) * body.size_m[2]
    length, depth = across / 2 + margin_m, body.size_m[1] / 2 + margin_m
    corners = np.array([(-length, -depth), (length, -depth), (length, depth), (-length, depth)])
    turn = np.array([[cos(body.yaw), sin(body.yaw)], [-sin(body.yaw), cos(body.yaw)]])
    return np.asarray(corners @ turn + body.position_m[:2])


def meet(first: Body, second: Body) -> bool:
    """Whether the boxes around two things may come closer than the clearance."""
    between = hypot(first.position_m[0] - second.position_m[0], first.position_m[1] - second.position_m[1])
    if between > (hypot(*first.size_m) + hypot(*second.size_m)) / 2 + CLEARANCE_M:
        return False
    one, other = first.corners_m[:, 2], second.corners_m[:, 2]
    if one.min() > other.max() - TOUCH_M or other.min() > one.max() - TOUCH_M:
        return False
    return not apart(rectangle(first, CLEARANCE_M), rectangle(second))


def apart(first: Rectangle, second: Rectangle) -> bool:
    """Whether two rectangles do not meet: seen along one side of one of them they lie beside each other."""
    for sides in (first, second):
        for normal in (sides[1] - sides[0], sides[2] - sides[1]):
            one, other = first @ normal, second @ normal
            if one.max() < other.min() or other.max() < one.min():
                return True
    return False


def on_top(rng: np.random.Generator, body: Body, below: Body) -> Body | None:
    """The thing on another one that stands upright; None where it does not fit or would roll off."""
    category, base = CATALOG[body.category], CATALOG[below.category]
    if not base.flat_top or below.tilt:
        return None
    if base.cavity is not None:
        return _resting(rng, body, below, base.cavity, on=below.label)
    length, depth = below.size_m[:2]
    if category.round or category.elongated or body.size_m[0] > 1.1 * length or body.size_m[1] > 1.1 * depth:
        return None
    x, y = below.position_m[:2]
    placed = replace(body, yaw=below.yaw + float(rng.uniform(-0.35, 0.35)), on=below.label)
    return stand(placed, (x, y), below.position_m[2] + below.size_m[2] / 2)


def inside(rng: np.random.Generator, body: Body, container: Body) -> Body | None:
    """The thing in a container that stands upright; None where it does not fit."""
    cavity = CATALOG[container.category].cavity
    if cavity is None or container.tilt:
        return None
    if CATALOG[body.category].elongated:
        return _leaning(rng, body, container, cavity)
    return _resting(rng, body, container, cavity, inside=container.label)


def _axis(container: Body, cavity: Cavity) -> tuple[float, float]:
    offset = cavity.axis_x * container.size_m[0]
    x, y, _ = container.position_m
    return x + offset * cos(container.yaw), y + offset * sin(container.yaw)


def _resting(
    rng: np.random.Generator, body: Body, container: Body, cavity: Cavity, on: int | None = None,
    inside: int | None = None,
) -> Body | None:  # fmt: skip
    """The thing in the middle of a cavity, as deep as its walls let it."""
    category = CATALOG[body.category]
    _, depth, height = container.size_m
    floor, rim, high = cavity.floor_radius * depth, cavity.rim_radius * depth, (1 - cavity.floor_height) * height
    lift = _lift(category, body, floor, rim, high)
    if lift is None:
        return None
    placed = replace(body, yaw=float(rng.uniform(-pi, pi)), on=on, inside=inside)
    bottom = container.position_m[2] - height / 2 + cavity.floor_height * height
    return stand(placed, _axis(container, cavity), bottom + lift)


def _lift(category: Category, body: Body, floor: float, rim: float, high: float) -> float | None:
    """How far above the floor of a cone the thing stops, its wall going from radius `floor` to `rim` at `high`."""
    if category.round:
        radius = max(body.size_m) / 2
        slope = rim - floor
        center = (radius * hypot(high, slope) - high * floor) / slope
        return max(0.0, center - radius) if radius < 0.95 * rim else None
    return 0.0 if hypot(*body.size_m[:2]) / 2 < floor else None


def _leaning(rng: np.random.Generator, body: Body, container: Body, cavity: Cavity) -> Body | None:
    """The long thing with one end at the floor and leaning on the rim on the other side."""
    _, depth, height = container.size_m
    floor, rim, high = cavity.floor_radius * depth, cavity.rim_radius * depth, (1 - cavity.floor_height) * height
    half_width = body.size_m[1] / 2 + WALL_M
    if body.size_m[0] < 1.35 * high or half_width > 0.8 * floor or high < floor:
        return None
    half_thick = body.size_m[2] / 2 + WALL_M
    low, top = (sqrt(radius**2 - half_width**2) for radius in (floor, rim))
    low -= half_thick
    if low <= 0:
        return None
    lean = 0.0
    for _ in range(3):  # the more it leans, the thicker it is where the rim cuts it
        lean = atan2(low + top - half_thick / cos(lean), high)
    yaw = float(rng.uniform(-pi, pi))
    x, y = _axis(container, cavity)
    bottom = container.position_m[2] - height / 2 + cavity.floor_height * height + half_thick * sin(lean)
    along = -low + body.size_m[0] / 2 * sin(lean)
    position = (x + along * cos(yaw), y + along * sin(yaw), bottom + body.size_m[0] / 2 * cos(lean))
    return replace(body, position_m=position, yaw=yaw, tilt=lean - pi / 2, inside=container.label)
