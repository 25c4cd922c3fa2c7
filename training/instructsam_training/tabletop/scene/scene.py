"""`Scene`: the description of a rendered image: bodies on a table, room, lights, camera and motion.

Frames and notation of the tabletop, for all modules of this package:

    table     origin in the middle of the tabletop; x right and y away from a camera at azimuth 0, z up
    body      origin in the middle of the bounding box of a body that stands upright; x along its length, z up
    camera    optical frame of REP 103: x right, y down, z forward
    image     pixels: x right, y down; boxes are x1, y1, x2, y2 with x2 and y2 exclusive

    yaw       rotation about the table's z
    tilt      rotation about the body's y before the yaw: 0 upright, -pi/2 lying
    pose      [4, 4], the camera frame in the table frame

Lengths are in meters, angles in radians, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import cos, pi, sin, tan

import numpy as np
import numpy.typing as npt

Vector = tuple[float, float, float]
Rgb = tuple[float, float, float]
Matrix = npt.NDArray[np.float64]
UNIT_BOX_CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True)
class Body:
    """One object with its size and pose.

    Attributes:
        label: 1 and up; its value in the label image.
        category: key of the catalog.
        color: key of the catalog.
        material: key of the catalog.
        rgb: exact color, 0..1.
        size_m: length, depth and height of its bounding box when upright.
        position_m: middle of that box in the table frame.
        yaw: rotation about the table's z.
        tilt: rotation about the body's y before the yaw; 0 is upright, -pi/2 lying with its top along x.
        on: label of the body it stands on.
        inside: label of the container it is in.
    """

    label: int
    category: str
    color: str
    material: str
    rgb: Rgb
    size_m: Vector
    position_m: Vector
    yaw: float
    tilt: float = 0.0
    on: int | None = None
    inside: int | None = None

    @cached_property
    def rotation(self) -> Matrix:
        """[3, 3], from the body frame into the table frame."""
        # Rz(yaw) @ Ry(tilt).
        turn = np.array([[cos(self.yaw), -sin(self.yaw), 0], [sin(self.yaw), cos(self.yaw), 0], [0, 0, 1]])
        lean = np.array([[cos(self.tilt), 0, sin(self.tilt)], [0, 1, 0], [-sin(self.tilt), 0, cos(self.tilt)]])
        return np.asarray(turn @ lean)

    @cached_property
    def corners_m(self) -> Matrix:
        """[8, 3], corners of the bounding box in the table frame."""
        return np.asarray(UNIT_BOX_CORNERS * self.size_m @ self.rotation.T + self.position_m)


@dataclass(frozen=True)
class SurfaceAppearance:
    """Color and texture of a table, floor or wall.

    Attributes:
        rgb: color of its lightest spots, 0..1.
        pattern: name of a texture.
        seed: seed of that texture.
    """

    rgb: Rgb
    pattern: str
    seed: int


@dataclass(frozen=True)
class Room:
    """Table, floor and walls.

    Attributes:
        table_m: length, depth and thickness of the tabletop.
        table_height_m: height of the tabletop above the floor.
        walls_m: distance of the walls from the middle of the table.
    """

    table: SurfaceAppearance
    floor: SurfaceAppearance
    wall: SurfaceAppearance
    table_m: Vector
    table_height_m: float
    walls_m: float


@dataclass(frozen=True)
class Light:
    """A directional light.

    Attributes:
        direction: direction of its rays in the table frame.
        ambient: intensity of ambient light, per channel.
        diffuse: intensity of diffuse light, per channel.
        specular: intensity of highlights, per channel.
        shadow: whether it casts shadows.
    """

    direction: Vector
    ambient: Rgb
    diffuse: Rgb
    specular: Rgb
    shadow: bool


@dataclass(frozen=True)
class OrbitCamera:
    """A pinhole camera without distortion that looks at a target, with the principal point in the image center.

    Attributes:
        target_m: point at the image center, in the table frame.
        distance_m: distance to the target.
        azimuth: 0 looks along the table's y; positive is counterclockwise seen from above.
        elevation: angle above the horizon.
        roll: rotation about the optical axis.
        field_of_view: vertical field of view.
    """

    target_m: Vector
    distance_m: float
    azimuth: float
    elevation: float
    roll: float
    field_of_view: float

    @property
    def pose(self) -> Matrix:
        """[4, 4], from the camera frame into the table frame."""
        level, height = cos(self.elevation), sin(self.elevation)
        forward = np.array([-sin(self.azimuth) * level, cos(self.azimuth) * level, -height])
        right = np.array([cos(self.azimuth), sin(self.azimuth), 0.0])
        down = np.cross(forward, right)
        pose = np.eye(4)
        # Columns: the camera axes x right, y down, z forward in the table frame, then the position.
        pose[:3, 0] = cos(self.roll) * right + sin(self.roll) * down
        pose[:3, 1] = cos(self.roll) * down - sin(self.roll) * right
        pose[:3, 2] = forward
        pose[:3, 3] = self.target_m - self.distance_m * forward
        return pose

    def intrinsics(self, size_wh: tuple[int, int]) -> Matrix:
        """Return the camera matrix [3, 3] in pixels; the center of the first pixel is (0, 0)."""
        width, height = size_wh
        # Square pixels; pixel centers at integer coordinates.
        focal = height / 2 / tan(self.field_of_view / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Motion:
    """Periodic motion of a scene; at time 0 it is as sampled.

    Attributes:
        orbit: largest rotation of the camera around its target, to either side.
        orbit_period_s: period of the camera's motion.
        label: label of the body that slides; None if none does.
        slide_m: end of the slide from the body's position, along x and y.
        slide_period_s: period of the slide, there and back.
    """

    orbit: float
    orbit_period_s: float
    label: int | None
    slide_m: tuple[float, float]
    slide_period_s: float


@dataclass(frozen=True)
class Scene:
    """Everything that determines an image.

    Attributes:
        seed: seed it was sampled from.
        bodies: ordered by label, from 1 without gaps.
    """

    seed: int
    bodies: tuple[Body, ...]
    room: Room
    lights: tuple[Light, ...]
    camera: OrbitCamera
    motion: Motion

    def at_time(self, time_s: float) -> Scene:
        """Return the scene at a time; call it on the sampled scene, which is at time 0."""
        motion = self.motion
        turn = motion.orbit * sin(2 * pi * time_s / motion.orbit_period_s)
        # 0 at the start, 1 after half a period.
        share = 0.5 - 0.5 * cos(2 * pi * time_s / motion.slide_period_s)
        step = np.array([*motion.slide_m, 0.0]) * share
        bodies = tuple(translated(body, step) if body.label == motion.label else body for body in self.bodies)
        return replace(self, bodies=bodies, camera=replace(self.camera, azimuth=self.camera.azimuth + turn))


def translated(body: Body, step_m: npt.ArrayLike) -> Body:
    """Return a body moved by a vector in the table frame."""
    x, y, z = (np.asarray(body.position_m) + np.asarray(step_m)).tolist()
    return replace(body, position_m=(x, y, z))
