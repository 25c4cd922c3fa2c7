"""`Solid`: triangle meshes of simple bodies, made of numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

ROUND = 28
"""Corners of a circle; more are not seen at the sizes that things have in a picture."""

Points = npt.NDArray[np.float64]
Triangles = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Solid:
    """A surface of triangles, their corners counter-clockwise seen from outside.

    Attributes:
        vertices: [V, 3].
        triangles: [T, 3], indices of vertices.
    """

    vertices: Points
    triangles: Triangles

    def placed(self, center: Sequence[float] = (0, 0, 0), scale: Sequence[float] = (1, 1, 1)) -> Solid:
        """The same surface scaled about the origin, and then moved."""
        return Solid(self.vertices * np.asarray(scale, float) + np.asarray(center, float), self.triangles)

    def turned(self, axes: Sequence[int]) -> Solid:
        """The same surface with its axes exchanged, cyclically so that inside stays inside: (1, 2, 0) or (2, 0, 1)."""
        return Solid(self.vertices[:, list(axes)], self.triangles)


def joined(*solids: Solid) -> Solid:
    """Several surfaces as one."""
    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids[:-1])])
    triangles = [solid.triangles + start for solid, start in zip(solids, starts, strict=True)]
    return Solid(np.concatenate([solid.vertices for solid in solids]), np.concatenate(triangles))


def box(size: Sequence[float], center: Sequence[float] = (0, 0, 0)) -> Solid:
    """A box of full lengths `size`."""
    length, width, height = (0.5 * each for each in size)
    outline = [(-length, -width), (length, -width), (length, width), (-length, width)]
    return prism(outline, height).placed(center)


def prism(outline: Sequence[tuple[float, float]], half_height: float) -> Solid:
    """A convex outline in x and y, counter-clockwise, drawn out along z."""
    count = len(outline)
    flat = np.asarray(outline, float)
    level = np.full((count, 1), half_height)
    vertices = np.concatenate([np.hstack([flat, -level]), np.hstack([flat, level])])
    caps = [(0, i + 1, i) for i in range(1, count - 1)] + [
        (count, count + i, count + i + 1) for i in range(1, count - 1)
    ]
    return Solid(vertices, np.array([*caps, *_band(0, count, count)]))


def lathe(profile: Sequence[tuple[float, float]]) -> Solid:
    """A profile of (radius, z) turned about z; it runs from the bottom outside upwards, as a potter draws it.

    A radius of 0 is allowed at both ends, and closes the surface there.
    """
    angles = 2 * np.pi * np.arange(ROUND) / ROUND
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    vertices: list[Points] = []
    triangles: list[tuple[int, int, int]] = []
    start, previous = 0, 0
    for index, (radius, z) in enumerate(profile):
        count = ROUND if radius > 0 else 1
        vertices.append(np.hstack([radius * circle[:count], np.full((count, 1), z)]))
        if index:
            triangles += _between(start - previous, previous, start, count)
        start, previous = start + count, count
    return Solid(np.concatenate(vertices), np.array(triangles))


def tube(path: Sequence[Sequence[float]], radii: Sequence[float], corners: int = 10) -> Solid:
    """A closed tube along a path that lies in one plane, its thickness varying from point to point."""
    points = np.asarray(path, float)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.cross(points[1] - points[0], points[-1] - points[0])
    normal = normal if np.linalg.norm(normal) > 1e-9 else np.cross(tangents[0], np.eye(3)[np.abs(tangents[0]).argmin()])
    normal = normal / np.linalg.norm(normal)
    angles = 2 * np.pi * np.arange(corners) / corners
    across = np.cross(tangents, normal)
    # Seen against the path the corners run clockwise, so that _band's triangles face outwards.
    rings = [
        point + radius * (np.outer(np.cos(angles), normal) + np.outer(np.sin(angles), side))
        for point, side, radius in zip(points, across, radii, strict=True)
    ]
    count = len(points)
    triangles = [each for i in range(count - 1) for each in _band(i * corners, (i + 1) * corners, corners)]
    first, last = count * corners, count * corners + 1
    triangles += _between(first, 1, 0, corners) + _between((count - 1) * corners, corners, last, 1)
    return Solid(np.concatenate([*rings, points[:1], points[-1:]]), np.array(triangles))


def arc(inner: float, outer: float, half_height: float, start: float, stop: float) -> Solid:
    """A flat ring about z, or a part of it, from angle `start` to `stop` in radians."""
    steps = np.linspace(start, stop, ROUND)
    pieces = []
    for left, right in pairwise(steps):
        corners = [(inner, left), (outer, left), (outer, right), (inner, right)]
        pieces.append(
            prism([(radius * np.cos(angle), radius * np.sin(angle)) for radius, angle in corners], half_height)
        )
    return joined(*pieces)


def _between(below: int, below_count: int, above: int, above_count: int) -> list[tuple[int, int, int]]:
    """Triangles between two rings of corners, either of which may be a single point."""
    if below_count == 1:
        return [(below, above + (i + 1) % above_count, above + i) for i in range(above_count)]
    if above_count == 1:
        return [(below + i, below + (i + 1) % below_count, above) for i in range(below_count)]
    return _band(below, above, below_count)


def _band(below: int, above: int, count: int) -> list[tuple[int, int, int]]:
    pairs = [(i, (i + 1) % count) for i in range(count)]
    lower = [(below + i, below + j, above + j) for i, j in pairs]
    return lower + [(below + i, above + j, above + i) for i, j in pairs]
