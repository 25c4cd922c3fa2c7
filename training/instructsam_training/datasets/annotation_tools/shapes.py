"""Shapes that tools draw, as polygons in pixels."""

from __future__ import annotations

from math import cos, pi, radians, sin
from typing import Any

CORNERS = 64
"""Corners of the polygon of a circle or an ellipse."""

Point = tuple[float, float]


def parse_points(points: Any) -> list[Point]:
    """Return points as pairs of floats.

    Raises:
        ValueError: they are something else.
    """
    try:
        return [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        raise ValueError(f'expected points as pairs of numbers, got {str(points)[:60]}') from None


def ellipse(center: Point, radii: Point, rotation_deg: float = 0.0) -> list[Point]:
    """Return an ellipse around a center; it is rotated clockwise, as y points down."""
    turn = radians(rotation_deg)
    # Counted from the center, before the rotation.
    around = [(radii[0] * cos(2 * pi * i / CORNERS), radii[1] * sin(2 * pi * i / CORNERS)) for i in range(CORNERS)]
    return [_rotated(center, offset, turn) for offset in around]


def rectangle(corner: Point, size_wh: Point, rotation_deg: float) -> list[Point]:
    """Return a rectangle that is rotated clockwise around its upper left corner."""
    width, height = size_wh
    offsets = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return [_rotated(corner, offset, radians(rotation_deg)) for offset in offsets]


def box_of(points: list[Point]) -> tuple[float, float, float, float]:
    """Return left, top, width and height of the box around points."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _rotated(origin: Point, offset: Point, turn: float) -> Point:
    # Rotation by a matrix; with y down, a positive angle turns clockwise.
    x, y = offset
    return origin[0] + x * cos(turn) - y * sin(turn), origin[1] + x * sin(turn) + y * cos(turn)
