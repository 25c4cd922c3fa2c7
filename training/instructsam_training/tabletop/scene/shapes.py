"""`MeshPart`: meshes of each category, normalized to the box from -0.5 to 0.5 so that they scale to any size.

Functions below use any unit of length: only proportions matter. Coordinates are those of the body frame (see `scene`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np

from instructsam_training.tabletop.scene.meshes import Mesh, arc, box, lathe, merged, prism, tube

OWN = ''
"""Tint and material of parts that take those of the object."""


@dataclass(frozen=True)
class MeshPart:
    """One mesh of an object, with its color.

    Attributes:
        tint: color of the catalog, or `OWN`.
        material: material of the catalog, or `OWN`.
        mesh: the mesh.
    """

    tint: str
    material: str
    mesh: Mesh


@cache
def mesh_parts(category: str) -> tuple[MeshPart, ...]:
    """Return the parts of a category; together they fill a box of side 1 about the origin."""
    parts = _MAKERS[category]()
    corners = np.concatenate([part.mesh.vertices for part in parts])
    # The parts share one scale, so that they stay in place relative to each other.
    lowest, highest = corners.min(0), corners.max(0)
    extent = highest - lowest
    return tuple(
        MeshPart(part.tint, part.material, part.mesh.transformed(-(lowest + highest) / 2 / extent, 1 / extent))
        for part in parts
    )


def _own_part(*meshes: Mesh) -> MeshPart:
    return MeshPart(OWN, OWN, merged(*meshes))


def _box() -> tuple[MeshPart, ...]:
    # Beveled edges catch the light as real ones do.
    edge = 0.46
    outline = [(-0.5, -edge), (-edge, -0.5), (edge, -0.5), (0.5, -edge)]
    outline += [(-x, -y) for x, y in outline]
    return (_own_part(prism(outline, 0.5)),)


def _book() -> tuple[MeshPart, ...]:
    # Two covers and the spine along the long side; the pages are a little smaller.
    covers = merged(
        box((20, 14, 0.3), (0, 0, 1.35)), box((20, 14, 0.3), (0, 0, -1.35)), box((20, 0.4, 3), (0, -6.8, 0))
    )
    return MeshPart(OWN, OWN, covers), MeshPart('white', 'plastic', box((19.4, 13.3, 2.4), (0, 0.05, 0)))


def _ball() -> tuple[MeshPart, ...]:
    # A sphere between two latitudes; a radius of exactly 0 closes the poles.
    def zone(lowest: float, highest: float, radius: float) -> Mesh:
        angles = np.linspace(lowest, highest, 7 if highest < 1 else 13)
        return lathe([(radius * max(cos(a), 0) if abs(a) < pi / 2 - 1e-6 else 0, radius * sin(a)) for a in angles])

    # The stripe is slightly larger than the sphere, so that the two surfaces do not flicker.
    stripe = lathe([(0.995 * cos(a), 1.0 * sin(a)) for a in np.linspace(-0.2, 0.2, 5)])
    whole = zone(-pi / 2, pi / 2, 0.99)
    return _own_part(whole), MeshPart('white', OWN, stripe.transformed(scale=(1.005, 1.005, 1.005)).permuted((1, 2, 0)))


def _can() -> tuple[MeshPart, ...]:
    # The painted side, open at both ends; lid and bottom are bare metal with raised rims.
    side = lathe([(0.030, 0.006), (0.033, 0.011), (0.033, 0.108), (0.028, 0.117)])
    lid = lathe([(0.028, 0.116), (0.028, 0.120), (0.025, 0.120), (0.025, 0.117), (0, 0.117)])
    bottom = lathe([(0, 0.002), (0.022, 0.0), (0.026, 0.0), (0.0305, 0.0065)])
    return _own_part(side), MeshPart('gray', 'metal', merged(lid, bottom))


def _mug() -> tuple[MeshPart, ...]:
    outside = [(0, 0), (0.038, 0), (0.0415, 0.004), (0.0425, 0.095)]
    inside = [(0.0385, 0.095), (0.0370, 0.008), (0, 0.008)]
    # The handle is an arc in the x-z plane whose ends are inside the wall.
    angles = np.linspace(-0.62 * pi, 0.62 * pi, 11)
    handle = tube([(0.047 + 0.0240 * cos(a), 0, 0.048 + 0.030 * sin(a)) for a in angles], [0.006] * 11)
    return (_own_part(lathe(outside + inside), handle),)


def _cup() -> tuple[MeshPart, ...]:
    return (_own_part(lathe([(0, 0), (0.029, 0), (0.040, 0.115), (0.0375, 0.115), (0.027, 0.006), (0, 0.006)])),)


def _bowl() -> tuple[MeshPart, ...]:
    # A foot ring, then the wall from the outside over the rim to the inside.
    outside = [(0, 0), (0.036, 0), (0.036, 0.004), (0.056, 0.016), (0.070, 0.036), (0.080, 0.065)]
    inside = [(0.076, 0.065), (0.066, 0.038), (0.052, 0.018), (0.036, 0.0068), (0, 0.0065)]
    return (_own_part(lathe(outside + inside)),)


def _plate() -> tuple[MeshPart, ...]:
    # A flat middle with a raised border.
    outside = [(0, 0), (0.066, 0), (0.084, 0.008), (0.110, 0.020), (0.110, 0.022)]
    inside = [(0.107, 0.022), (0.080, 0.0115), (0.068, 0.0066), (0, 0.0066)]
    return (_own_part(lathe(outside + inside)),)


def _bottle() -> tuple[MeshPart, ...]:
    # Cylinder, shoulder and neck; the cap covers the top of the neck.
    body = lathe([(0, 0), (0.032, 0), (0.035, 0.006), (0.035, 0.135), (0.031, 0.155), (0.018, 0.180), (0.0135, 0.205)])
    cap = lathe([(0.0135, 0.204), (0.0165, 0.205), (0.0165, 0.229), (0.015, 0.230), (0, 0.230)])
    return _own_part(body), MeshPart('white', 'plastic', cap)


def _hammer() -> tuple[MeshPart, ...]:
    # (x, radius) along the handle, thicker at the grip.
    steps = ((-0.12, 0.013), (-0.115, 0.016), (-0.03, 0.014), (0.02, 0.010), (0.115, 0.010))
    handle = tube([(x, 0, 0) for x, _ in steps], [radius for _, radius in steps])
    # The head at the end of the handle: neck, cylindrical face on one side, claw on the other.
    neck, face = (
        box((0.022, 0.040, 0.024), (0.106, 0, 0)),
        lathe([(0, -0.05), (0.015, -0.05), (0.015, -0.028), (0.011, -0.02)]),
    )
    claw = prism([(0.094, 0.018), (0.119, 0.018), (0.100, 0.050), (0.094, 0.050)], 0.010)
    head = merged(neck, face.permuted((1, 2, 0)).transformed((0.106, 0, 0)), claw)
    return _own_part(handle), MeshPart('gray', 'metal', head)


def _screwdriver() -> tuple[MeshPart, ...]:
    # (x, radius) along the handle, with a waist for the fingers.
    steps = ((-0.10, 0.011), (-0.095, 0.016), (-0.06, 0.014), (-0.02, 0.016), (-0.008, 0.011), (-0.002, 0.013))
    handle = tube([(x, 0, 0) for x, _ in steps], [radius for _, radius in steps], corners=8)
    # A round shaft with a flat tip.
    blade = merged(
        tube([(-0.004, 0, 0), (0.05, 0, 0), (0.09, 0, 0)], [0.005] * 3), box((0.016, 0.010, 0.003), (0.092, 0, 0))
    )
    return _own_part(handle), MeshPart('gray', 'metal', blade)


def _wrench() -> tuple[MeshPart, ...]:
    # The jaw is a ring with a gap of 0.42 pi around the long axis; the other end is a closed ring.
    jaw = arc(0.012, 0.026, 0.006, 0.21 * pi, 1.79 * pi).transformed((0.074, 0, 0))
    ring = arc(0.010, 0.019, 0.006, 0, 2 * pi).transformed((-0.081, 0, 0))
    return (_own_part(jaw, ring, box((0.125, 0.020, 0.008), (-0.007, 0, 0))),)


def _spoon() -> tuple[MeshPart, ...]:
    angles = np.linspace(0, pi / 2, 6)
    # Lower half of a sphere, outside and inside; scaled to an ellipsoid below.
    outer = [(sin(a), -cos(a)) for a in angles]
    inner = [(0.9 * sin(a), -0.82 * cos(a)) for a in angles[::-1]]
    hollow = lathe(
        [(max(r, 0) if z > -0.9999 else 0, z) for r, z in outer] + [(r if r > 1e-6 else 0, z) for r, z in inner]
    )
    # The handle rises towards the bowl.
    path = [(-0.085, 0, 0.006), (-0.04, 0, 0.008), (0.0, 0, 0.010), (0.035, 0, 0.013)]
    handle = tube(path, [0.0045, 0.004, 0.003, 0.003]).transformed(scale=(1, 1.3, 1))
    return (_own_part(hollow.transformed((0.057, 0, 0.0155), (0.028, 0.021, 0.0155)), handle),)


def _knife() -> tuple[MeshPart, ...]:
    # Outline in the x-y plane: straight cutting edge at y = -0.015, slanted tip.
    blade = prism([(-0.02, -0.015), (0.085, -0.015), (0.115, 0.008), (0.115, 0.013), (-0.02, 0.013)], 0.0015)
    handle = tube([(-0.115, 0, 0), (-0.110, 0, 0), (-0.06, 0, 0), (-0.015, 0, 0)], [0.007, 0.008, 0.007, 0.008])
    return MeshPart('gray', 'metal', blade), _own_part(handle.transformed(scale=(1, 1.5, 1)))


def _apple() -> tuple[MeshPart, ...]:
    # Dents at bottom and top, in units of the height.
    profile = [(0, 0.06), (0.18, 0.0), (0.34, 0.08), (0.46, 0.28), (0.50, 0.50), (0.47, 0.70), (0.36, 0.86), (0.2, 0.9)]
    stem = tube([(0, 0, 0.78), (0.01, 0, 0.9), (0.05, 0, 1.04)], [0.03, 0.028, 0.035], corners=6)
    return _own_part(lathe([*profile, (0.06, 0.82), (0, 0.79)])), MeshPart('brown', 'plastic', stem)


def _banana() -> tuple[MeshPart, ...]:
    # An arc of 0.66 pi in the x-y plane, thickest in the middle.
    angles = np.linspace(1.17 * pi, 1.83 * pi, 13)
    path = [(0.1 * cos(a), 0.1 * sin(a), 0) for a in angles]
    body = tube(path, [0.006, 0.0075, 0.012, 0.0155, 0.017, 0.0175, 0.0175, 0.0175, 0.017, 0.0155, 0.012, 0.008, 0.005])
    ends = [
        tube([(0.1 * cos(a + d), 0.1 * sin(a + d), 0) for d in (-0.04, 0, 0.04)], [0.0062, 0.0068, 0.0055])
        for a in angles[[0, -1]]
    ]
    return _own_part(body), MeshPart('brown', 'plastic', merged(*ends))


_MAKERS: dict[str, Callable[[], tuple[MeshPart, ...]]] = {
    'box': _box,
    'book': _book,
    'ball': _ball,
    'can': _can,
    'mug': _mug,
    'cup': _cup,
    'bowl': _bowl,
    'plate': _plate,
    'bottle': _bottle,
    'hammer': _hammer,
    'screwdriver': _screwdriver,
    'wrench': _wrench,
    'spoon': _spoon,
    'knife': _knife,
    'apple': _apple,
    'banana': _banana,
}
