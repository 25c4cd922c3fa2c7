"""`Mesh`: triangle meshes of simple solids: boxes, prisms, surfaces of revolution, tubes and rings.

Triangles list their corners counterclockwise seen from outside. V is the number of vertices, T that of triangles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

CIRCLE_SEGMENTS = 28
"""Vertices of a circle; more make no visible difference at the usual size of objects in an image."""

Points = npt.NDArray[np.float64]
Triangles = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: [V, 3].
        triangles: [T, 3], indices into the vertices.
    """

    vertices: Points
    triangles: Triangles

    def transformed(self, center: Sequence[float] = (0, 0, 0), scale: Sequence[float] = (1, 1, 1)) -> Mesh:
        """Return the mesh scaled about the origin, then moved."""
        return Mesh(self.vertices * np.asarray(scale, float) + np.asarray(center, float), self.triangles)

    def permuted(self, axes: Sequence[int]) -> Mesh:
        """Return the mesh with permuted axes; (1, 2, 0) and (2, 0, 1) are cyclic and keep the outside outside."""
        return Mesh(self.vertices[:, list(axes)], self.triangles)


def merged(*meshes: Mesh) -> Mesh:
    """Return several meshes as one."""
    # Triangles of each mesh are shifted by the number of vertices before it.
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))


def box(size: Sequence[float], center: Sequence[float] = (0, 0, 0)) -> Mesh:
    """Return a box; `size` is the full length of its sides."""
    length, width, height = (0.5 * each for each in size)
    outline = [(-length, -width), (length, -width), (length, width), (-length, width)]
    return prism(outline, height).transformed(center)


def prism(outline: Sequence[tuple[float, float]], half_height: float) -> Mesh:
    """Return a convex outline in x and y, counterclockwise, extruded along z."""
    count = len(outline)
    flat = np.asarray(outline, float)
    level = np.full((count, 1), half_height)
    vertices = np.concatenate([np.hstack([flat, -level]), np.hstack([flat, level])])
    # Fans around the first vertex of each cap; the lower cap is reversed to face down.
    caps = [(0, i + 1, i) for i in range(1, count - 1)] + [
        (count, count + i, count + i + 1) for i in range(1, count - 1)
    ]
    return Mesh(vertices, np.array([*caps, *_strip(0, count, count)]))


def lathe(profile: Sequence[tuple[float, float]]) -> Mesh:
    """Return a surface of revolution about z.

    Args:
        profile: (radius, z) from the bottom upwards along the outside, then back down along the inside if it is hollow.
            A radius of 0 is allowed at both ends and closes the surface there.
    """
    # [CIRCLE_SEGMENTS, 2], unit circle; a ring is a scaled copy, a closed end a single vertex.
    angles = 2 * np.pi * np.arange(CIRCLE_SEGMENTS) / CIRCLE_SEGMENTS
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    vertices: list[Points] = []
    triangles: list[tuple[int, int, int]] = []
    start, previous = 0, 0
    for index, (radius, z) in enumerate(profile):
        count = CIRCLE_SEGMENTS if radius > 0 else 1
        vertices.append(np.hstack([radius * circle[:count], np.full((count, 1), z)]))
        if index:
            triangles += _connect_rings(start - previous, previous, start, count)
        start, previous = start + count, count
    return Mesh(np.concatenate(vertices), np.array(triangles))


def tube(path: Sequence[Sequence[float]], radii: Sequence[float], corners: int = 10) -> Mesh:
    """Return a closed tube along a planar path, with one radius per point."""
    points = np.asarray(path, float)
    # [P, 3] for a path of P points.
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    # Normal of the path's plane; of a straight path any vector across it.
    normal = np.cross(points[1] - points[0], points[-1] - points[0])
    normal = normal if np.linalg.norm(normal) > 1e-9 else np.cross(tangents[0], np.eye(3)[np.abs(tangents[0]).argmin()])
    normal = normal / np.linalg.norm(normal)
    angles = 2 * np.pi * np.arange(corners) / corners
    # Each ring lies in the plane of `normal` and `across`, perpendicular to the path.
    across = np.cross(tangents, normal)
    # Seen against the path's direction the corners run clockwise, so that the triangles of `_strip` face outwards.
    rings = [
        point + radius * (np.outer(np.cos(angles), normal) + np.outer(np.sin(angles), side))
        for point, side, radius in zip(points, across, radii, strict=True)
    ]
    count = len(points)
    triangles = [each for i in range(count - 1) for each in _strip(i * corners, (i + 1) * corners, corners)]
    # Two more vertices, the ends of the path, close the tube.
    first, last = count * corners, count * corners + 1
    triangles += _connect_rings(first, 1, 0, corners) + _connect_rings((count - 1) * corners, corners, last, 1)
    return Mesh(np.concatenate([*rings, points[:1], points[-1:]]), np.array(triangles))


def arc(inner: float, outer: float, half_height: float, start: float, stop: float) -> Mesh:
    """Return a flat ring about z, or a part of it, from angle `start` to `stop` in radians."""
    steps = np.linspace(start, stop, CIRCLE_SEGMENTS)
    # A ring is not convex: it is built of convex pieces.
    pieces = []
    for left, right in pairwise(steps):
        corners = [(inner, left), (outer, left), (outer, right), (inner, right)]
        pieces.append(
            prism([(radius * np.cos(angle), radius * np.sin(angle)) for radius, angle in corners], half_height)
        )
    return merged(*pieces)


def _connect_rings(below: int, below_count: int, above: int, above_count: int) -> list[tuple[int, int, int]]:
    """Triangles between two rings of vertices, either may be a single point; `below` and `above` are indices."""
    if below_count == 1:
        return [(below, above + (i + 1) % above_count, above + i) for i in range(above_count)]
    if above_count == 1:
        return [(below + i, below + (i + 1) % below_count, above) for i in range(below_count)]
    return _strip(below, above, below_count)


def _strip(below: int, above: int, count: int) -> list[tuple[int, int, int]]:
    """Two triangles for each side of two rings of `count` vertices."""
    pairs = [(i, (i + 1) % count) for i in range(count)]
    lower = [(below + i, below + j, above + j) for i, j in pairs]
    return lower + [(below + i, above + j, above + i) for i, j in pairs]
