"""`Scene`: what stands on a table, who looks at it, and the light; everything that a picture is made of.

Frames are those of `facts`. Lengths are meters, angles radians unless a name says otherwise.
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
CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


@dataclass(frozen=True)
class Body:
    """One thing, as it lies there.

    Attributes:
        label: 1 and up, its value in the label picture.
        category: name of the catalog.
        color: name of the catalog.
        material: name of the catalog.
        rgb: what the color is exactly, 0..1.
        size_m: length, depth and height of the box around it as it is used, upright.
        position_m: middle of that box in the table's frame.
        yaw: turn about the table's vertical.
        tilt: turn about its own y axis before that; 0 for upright, -pi/2 for lying with its length upwards.
        on: label of the thing it stands on.
        inside: label of the thing that contains it.
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
        """[3, 3], from its own frame into the table's."""
        turn = np.array([[cos(self.yaw), -sin(self.yaw), 0], [sin(self.yaw), cos(self.yaw), 0], [0, 0, 1]])
        lean = np.array([[cos(self.tilt), 0, sin(self.tilt)], [0, 1, 0], [-sin(self.tilt), 0, cos(self.tilt)]])
        return np.asarray(turn @ lean)

    @cached_property
    def corners_m(self) -> Matrix:
        """[8, 3], those of the box around it, in the table's frame."""
        return np.asarray(CORNERS * self.size_m @ self.rotation.T + self.position_m)


@dataclass(frozen=True)
class Surface:
    """How a table, a floor or a wall looks.

    Attributes:
        rgb: 0..1, of its lightest spots.
        pattern: name of a texture.
        seed: of that texture.
    """

    rgb: Rgb
    pattern: str
    seed: int


@dataclass(frozen=True)
class Room:
    """What is no thing.

    Attributes:
        table_m: length, depth and thickness of the table's top.
        table_height_m: of its top above the floor.
        walls_m: distance of the walls from the table's middle.
    """

    table: Surface
    floor: Surface
    wall: Surface
    table_m: Vector
    table_height_m: float
    walls_m: float


@dataclass(frozen=True)
class Light:
    """A light so far away that its rays are parallel.

    Attributes:
        direction: of its rays, in the table's frame.
        ambient: strength of what comes from everywhere, by channel.
        diffuse: strength, by channel.
        specular: strength of highlights, by channel.
        shadow: whether things throw shadows in it.
    """

    direction: Vector
    ambient: Rgb
    diffuse: Rgb
    specular: Rgb
    shadow: bool


@dataclass(frozen=True)
class Camera:
    """A camera without distortion, its principal point in the middle.

    Attributes:
        target_m: the point in the middle of its picture.
        distance_m: from there.
        azimuth: 0 looks along y of the table, and turns counter-clockwise seen from above.
        elevation: above the horizon.
        roll: about its optical axis.
        field_of_view: from the top to the bottom of its picture.
    """

    target_m: Vector
    distance_m: float
    azimuth: float
    elevation: float
    roll: float
    field_of_view: float

    @property
    def pose(self) -> Matrix:
        """[4, 4], from its optical frame (x right, y down, z forward) into the table's."""
        level, height = cos(self.elevation), sin(self.elevation)
        forward = np.array([-sin(self.azimuth) * level, cos(self.azimuth) * level, -height])
        right = np.array([cos(self.azimuth), sin(self.azimuth), 0.0])
        down = np.cross(forward, right)
        pose = np.eye(4)
        pose[:3, 0] = cos(self.roll) * right + sin(self.roll) * down
        pose[:3, 1] = cos(self.roll) * down - sin(self.roll) * right
        pose[:3, 2] = forward
        pose[:3, 3] = self.target_m - self.distance_m * forward
        return pose

    def intrinsics(self, size_wh: tuple[int, int]) -> Matrix:
        """[3, 3], pixels; the middle of the first pixel is at (0, 0)."""
        width, height = size_wh
        focal = height / 2 / tan(self.field_of_view / 2)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Motion:
    """How a scene moves, back and forth for ever; at time 0 it is where it was sampled.

    Attributes:
        orbit: largest turn of the camera around its target.
        orbit_period_s: of one swing to both sides.
        label: of the thing that slides; None when all stand still.
        slide_m: where it slides to and comes back from, along x and y.
        slide_period_s: of one way there and back.
    """

    orbit: float
    orbit_period_s: float
    label: int | None
    slide_m: tuple[float, float]
    slide_period_s: float


@dataclass(frozen=True)
class Scene:
    """Everything that a picture is made of.

    Attributes:
        seed: what it was sampled from.
        bodies: by label, without gaps, from 1.
    """

    seed: int
    bodies: tuple[Body, ...]
    room: Room
    lights: tuple[Light, ...]
    camera: Camera
    motion: Motion

    def moved(self, time_s: float) -> Scene:
        """The scene as it is at another time than 0, which is that of the sampled scene only."""
        motion = self.motion
        turn = motion.orbit * sin(2 * pi * time_s / motion.orbit_period_s)
        share = 0.5 - 0.5 * cos(2 * pi * time_s / motion.slide_period_s)
        step = np.array([*motion.slide_m, 0.0]) * share
        bodies = tuple(slid(body, step) if body.label == motion.label else body for body in self.bodies)
        return replace(self, bodies=bodies, camera=replace(self.camera, azimuth=self.camera.azimuth + turn))


def slid(body: Body, step_m: npt.ArrayLike) -> Body:
    """The same thing at another place."""
    x, y, z = (np.asarray(body.position_m) + np.asarray(step_m)).tolist()
    return replace(body, position_m=(x, y, z))
