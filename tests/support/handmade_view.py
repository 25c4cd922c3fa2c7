"""Hand-made views of a table: objects are upright squares, seen by a camera that looks down at 45 degrees."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

import numpy as np

from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import SceneObject, SceneView

SIZE_WH = (320, 240)
INTRINSICS = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])
DISTANCE_M = 1.2
POSE = np.eye(4)
POSE[:3, :3] = np.array([[1, 0, 0], [0, -sqrt(0.5), sqrt(0.5)], [0, -sqrt(0.5), -sqrt(0.5)]])
POSE[:3, 3] = -DISTANCE_M * POSE[:3, 2]


@dataclass(frozen=True)
class Placed:
    """An object and its position: x to the right and y away from the camera, meters from the middle of the table."""

    color: str
    category: str
    x: float
    y: float
    scale: float = 1.0
    material: str = 'plastic'
    on: int | None = None
    inside: int | None = None
    visible: float = 1.0

    def ground_truth(self, label: int, z: float) -> SceneObject:
        size_m = [self.scale * side for side in CATALOG[self.category].size_m]
        position_m = (self.x, self.y, z + size_m[2] / 2)
        x, y, depth = np.linalg.inv(POSE)[:3] @ (*position_m, 1)
        u, v, _ = INTRINSICS @ (x, y, depth) / depth
        half = 300 * sqrt(size_m[0] * size_m[1]) / depth / 2
        box = round(u - half), round(v - half), round(u + half), round(v + half)
        return SceneObject(
            label, self.category, self.color, self.material, prod(size_m), size_m[2], position_m, (x, y, depth),
            self.on, self.inside, box, (box[2] - box[0]) * (box[3] - box[1]), self.visible,
        )  # fmt: skip


def make_view(*placed: Placed) -> SceneView:
    """Return a view of objects labeled 1, 2, ...; an object must come after the one it is on."""
    objects: list[SceneObject] = []
    labels, depth_m = np.zeros(SIZE_WH[::-1], np.uint16), np.zeros(SIZE_WH[::-1], np.float32)
    for label, each in enumerate(placed, start=1):
        below = next((obj for obj in objects if obj.label == each.on), None)
        obj = each.ground_truth(label, below.position_m[2] + below.height_m / 2 if below else 0.0)
        x1, y1, x2, y2 = obj.box_xyxy
        labels[y1:y2, x1:x2], depth_m[y1:y2, x1:x2] = label, obj.position_camera_m[2]
        objects.append(obj)
    return SceneView(np.zeros((*labels.shape, 3), np.uint8), depth_m, labels, INTRINSICS, POSE, tuple(objects))
