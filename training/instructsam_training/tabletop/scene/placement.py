"""Placement of bodies on the table, on another body, or in a container, without collisions (frames: see `scene`).

Two bodies do not collide if their footprints (rectangles below their bounding boxes) are apart, or if one is entirely
above the other. A body is not tested against the one that supports or contains it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, hypot, pi, sin, sqrt

import numpy as np
import numpy.typing as npt

from instructsam_training.tabletop.scene.catalog import CATALOG, Category, Cavity
from instructsam_training.tabletop.scene.scene import Body, translated

CLEARANCE_M = 0.006
"""Distance between the footprints of two bodies on the table."""
CONTACT_TOLERANCE_M = 1e-6
"""Rounding tolerance between a body and its support."""
WALL_CLEARANCE_M = 0.002
"""Distance between a body that leans in a container and the walls."""
LYING_TILT = -pi / 2
MAX_TRIES = 40

Rectangle = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PlacementArea:
    """Area of the table in which bodies are placed.

    Attributes:
        radius_m: radius of a disk around the middle of the table; it grows up to twice if there is no room.
        table_m: length and depth of the table.
    """

    radius_m: float
    table_m: tuple[float, float]

    def place_on_table(self, rng: np.random.Generator, body: Body, others: tuple[Body, ...]) -> Body | None:
        """Place a body at a random free position on the table; None if none was found."""
        for radius in self.radius_m * np.linspace(1, 2, MAX_TRIES):
            # The square root makes positions uniform in the disk; 0.8: tables are less deep than long.
            angle, distance = rng.uniform(0, 2 * pi), radius * sqrt(rng.uniform())
            x, y = distance * cos(angle), 0.8 * distance * sin(angle)
            placed = rest_at(replace(body, yaw=float(rng.uniform(-pi, pi))), (x, y), 0.0)
            if self.is_free(placed, others):
                return placed
        return None

    def is_free(self, body: Body, others: tuple[Body, ...]) -> bool:
        """Whether a body is within the table and collides with no other, except its support."""
        # The table frame's origin is the middle of the table.
        own = footprint(body, CLEARANCE_M)
        is_within = np.all(np.abs(own) < np.array(self.table_m) / 2)
        supports = (body.on, body.inside)
        return bool(is_within) and not any(may_collide(body, other) for other in others if other.label not in supports)


def rest_at(body: Body, xy_m: tuple[float, float], height_m: float) -> Body:
    """Return the body with its lowest point at a height and its middle above x, y."""
    level = replace(body, position_m=(xy_m[0], xy_m[1], 0.0))
    return translated(level, (0, 0, height_m - level.corners_m[:, 2].min()))


def footprint(body: Body, margin_m: float = 0.0) -> Rectangle:
    """Return the rectangle below the bounding box of a body.

    Returns:
        [4, 2], corners in the table's plane, in order around the rectangle.
    """
    # Extent along the body's x after its tilt, projected onto the table.
    across = abs(cos(body.tilt)) * body.size_m[0] + abs(sin(body.tilt)) * body.size_m[2]
    length, depth = across / 2 + margin_m, body.size_m[1] / 2 + margin_m
    corners = np.array([(-length, -depth), (length, -depth), (length, depth), (-length, depth)])
    # Transposed rotation, because corners are rows.
    turn = np.array([[cos(body.yaw), sin(body.yaw)], [-sin(body.yaw), cos(body.yaw)]])
    return np.asarray(corners @ turn + body.position_m[:2])


def may_collide(first: Body, second: Body) -> bool:
    """Whether the bounding boxes of two bodies may be closer than the clearance."""
    # Cheap test first: circumscribed circles.
    between = hypot(first.position_m[0] - second.position_m[0], first.position_m[1] - second.position_m[1])
    if between > (hypot(*first.size_m) + hypot(*second.size_m)) / 2 + CLEARANCE_M:
        return False
    one, other = first.corners_m[:, 2], second.corners_m[:, 2]
    if one.min() > other.max() - CONTACT_TOLERANCE_M or other.min() > one.max() - CONTACT_TOLERANCE_M:
        return False
    return not are_separated(footprint(first, CLEARANCE_M), footprint(second))


def are_separated(first: Rectangle, second: Rectangle) -> bool:
    """Whether two rectangles are apart: the separating axis theorem, over the side directions of both."""
    for sides in (first, second):
        for normal in (sides[1] - sides[0], sides[2] - sides[1]):
            one, other = first @ normal, second @ normal
            if one.max() < other.min() or other.max() < one.min():
                return True
    return False


def place_on_top(rng: np.random.Generator, body: Body, below: Body) -> Body | None:
    """Place a body on another one that is upright; None if it does not fit or would roll off."""
    category, base = CATALOG[body.category], CATALOG[below.category]
    if not base.flat_top or below.tilt:
        return None
    if base.cavity is not None:
        return _place_in_cavity(rng, body, below, base.cavity, on=below.label)
    # A flat top carries bodies of up to 1.1 times its size; round and long ones would roll or fall off.
    length, depth = below.size_m[:2]
    if category.round or category.elongated or body.size_m[0] > 1.1 * length or body.size_m[1] > 1.1 * depth:
        return None
    x, y = below.position_m[:2]
    placed = replace(body, yaw=below.yaw + float(rng.uniform(-0.35, 0.35)), on=below.label)
    return rest_at(placed, (x, y), below.position_m[2] + below.size_m[2] / 2)


def place_inside(rng: np.random.Generator, body: Body, container: Body) -> Body | None:
    """Place a body in a container that is upright; None if it does not fit."""
    cavity = CATALOG[container.category].cavity
    if cavity is None or container.tilt:
        return None
    if CATALOG[body.category].elongated:
        return _lean_in_cavity(rng, body, container, cavity)
    return _place_in_cavity(rng, body, container, cavity, inside=container.label)


def _cavity_axis_xy(container: Body, cavity: Cavity) -> tuple[float, float]:
    """The axis of the cavity, in the table's plane; that of a mug is not in the middle of its box."""
    offset = cavity.axis_x * container.size_m[0]
    x, y, _ = container.position_m
    return x + offset * cos(container.yaw), y + offset * sin(container.yaw)


def _place_in_cavity(
    rng: np.random.Generator, body: Body, container: Body, cavity: Cavity, on: int | None = None,
    inside: int | None = None,
) -> Body | None:  # fmt: skip
    """Place a body in the middle of a cavity, as deep as the walls allow."""
    category = CATALOG[body.category]
    _, depth, height = container.size_m
    # The cavity is a truncated cone: radius at the floor, radius at the rim, height, in meters.
    floor, rim, high = cavity.floor_radius * depth, cavity.rim_radius * depth, (1 - cavity.floor_height) * height
    lift = _lift_above_floor(category, body, floor, rim, high)
    if lift is None:
        return None
    placed = replace(body, yaw=float(rng.uniform(-pi, pi)), on=on, inside=inside)
    bottom = container.position_m[2] - height / 2 + cavity.floor_height * height
    return rest_at(placed, _cavity_axis_xy(container, cavity), bottom + lift)


def _lift_above_floor(category: Category, body: Body, floor: float, rim: float, high: float) -> float | None:
    """Height of a body above the floor of a cone whose radius grows from `floor` to `rim` over `high`; None: no fit."""
    if category.round:
        radius = max(body.size_m) / 2
        slope = rim - floor
        # Height at which a sphere touches the wall: its center is `radius` away from the wall's line.
        center = (radius * hypot(high, slope) - high * floor) / slope
        return max(0.0, center - radius) if radius < 0.95 * rim else None
    return 0.0 if hypot(*body.size_m[:2]) / 2 < floor else None


def _lean_in_cavity(rng: np.random.Generator, body: Body, container: Body, cavity: Cavity) -> Body | None:
    """Place an elongated body with one end at the edge of the floor, leaning on the rim of the opposite side."""
    _, depth, height = container.size_m
    floor, rim, high = cavity.floor_radius * depth, cavity.rim_radius * depth, (1 - cavity.floor_height) * height
    half_width = body.size_m[1] / 2 + WALL_CLEARANCE_M
    if body.size_m[0] < 1.35 * high or half_width > 0.8 * floor or high < floor:
        return None
    half_thick = body.size_m[2] / 2 + WALL_CLEARANCE_M
    # Distances from the axis at the floor and at the rim, at which the body's width touches the round wall.
    low, top = (sqrt(radius**2 - half_width**2) for radius in (floor, rim))
    low -= half_thick
    if low <= 0:
        return None
    # `lean` from the vertical depends on the thickness at the rim, which depends on `lean`: fixed-point iteration.
    lean = 0.0
    for _ in range(3):
        lean = atan2(low + top - half_thick / cos(lean), high)
    yaw = float(rng.uniform(-pi, pi))
    x, y = _cavity_axis_xy(container, cavity)
    bottom = container.position_m[2] - height / 2 + cavity.floor_height * height + half_thick * sin(lean)
    # Middle of the body: half its length from the lower end, along the lean.
    along = -low + body.size_m[0] / 2 * sin(lean)
    position = (x + along * cos(yaw), y + along * sin(yaw), bottom + body.size_m[0] / 2 * cos(lean))
    return replace(body, position_m=position, yaw=yaw, tilt=lean - pi / 2, inside=container.label)
