"""Shapes: outward triangles, bounding boxes and cavities. Covers meshes.py too."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.meshes import Mesh
from instructsam_training.tabletop.scene.shapes import mesh_parts


def volume(mesh: Mesh) -> float:
    """Volume of a closed mesh; negative if its triangles face inwards."""
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]] for corner in range(3))
    return float(np.einsum('ij,ij->', a, np.cross(b, c)) / 6)


@pytest.mark.parametrize('category', CATALOG)
def test_parts_fill_the_unit_box_and_face_outwards(category: str) -> None:
    parts = mesh_parts(category)
    corners = np.concatenate([part.mesh.vertices for part in parts])
    assert np.allclose(corners.min(0), -0.5)
    assert np.allclose(corners.max(0), 0.5)
    assert all(volume(part.mesh) > 0 for part in parts)


@pytest.mark.parametrize('category', [name for name, each in CATALOG.items() if each.cavity])
def test_cavity_is_empty_and_has_a_floor(category: str) -> None:
    size, cavity = np.array(CATALOG[category].size_m), CATALOG[category].cavity
    assert cavity is not None
    corners = np.concatenate([part.mesh.vertices for part in mesh_parts(category)]) * size
    radius = np.hypot(corners[:, 0] - cavity.axis_x * size[0], corners[:, 1])
    height = (corners[:, 2] / size[2] + 0.5 - cavity.floor_height) / (1 - cavity.floor_height)
    allowed = size[1] * (cavity.floor_radius + np.clip(height, 0, 1) * (cavity.rim_radius - cavity.floor_radius))
    assert not np.any((height > 0.01) & (radius < allowed - 1e-3))
    assert np.any((np.abs(height) < 0.02) & (radius < 1e-3))
