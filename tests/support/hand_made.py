"""A view of a table made by hand: things are upright squares on a table that a camera looks down on at 45 degrees."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt

import numpy as np

from instructsam_training.tabletop.scene.catalog import CATALOG
from instructsam_training.tabletop.scene.ground_truth import Thing, View

SIZE_WH = (320, 240)
INTRINSICS = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])
DISTANCE_M = 1.2
POSE = np.eye(4)
POSE[:3, :3] = np.array([[1, 0, 0], [0, -sqrt(0.5), sqrt(0.5)], [0, -sqrt(0.5), -sqrt(0.5)]])
POSE[:3, 3] = -DISTANCE_M * POSE[:3, 2]


@dataclass(frozen=True)
class Put:
    """A thing and where it is put: x to the right and y away from the camera, meters from the table's middle."""

    color: str
    category: str
    x: float
    y: float
    scale: float = 1.0
    material: str = 'plastic'
    on: int | None = None
    inside: int | None = None
    visible: float = 1.0

    def thing(self, label: int, z: float) -> Thing:
        size_m = [self.scale * side for side in CATALOG[self.category].size_m]
        position_m = (self.x, self.y, z + size_m[2] / 2)
        x, y, depth = np.linalg.inv(POSE)[:3] @ (*position_m, 1)
        u, v, _ = INTRINSICS @ (x, y, depth) / depth
        half = 300 * sqrt(size_m[0] * size_m[1]) / depth / 2
        box = round(u - half), round(v - half), round(u + half), round(v + half)
        return Thing(
            label, self.category, self.color, self.material, prod(size_m), size_m[2], position_m, (x, y, depth),
            self.on, self.inside, box, (box[2] - box[0]) * (box[3] - box[1]), self.visible,
        )  # fmt: skip


def look_at(*puts: Put) -> View:
    """The view of things labeled 1, 2, ... in order; a thing that is on another follows it."""
    things: list[Thing] = []
    labels, depth_m = np.zeros(SIZE_WH[::-1], np.uint16), np.zeros(SIZE_WH[::-1], np.float32)
    for label, put in enumerate(puts, start=1):
        below = next((thing for thing in things if thing.label == put.on), None)
        thing = put.thing(label, below.position_m[2] + below.height_m / 2 if below else 0.0)
        x1, y1, x2, y2 = thing.box_xyxy
        labels[y1:y2, x1:x2], depth_m[y1:y2, x1:x2] = label, thing.position_camera_m[2]
        things.append(thing)
    return View(np.zeros((*labels.shape, 3), np.uint8), depth_m, labels, INTRINSICS, POSE, tuple(things))
