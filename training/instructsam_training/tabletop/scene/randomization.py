"""Randomization of everything but the objects: room, lights and camera."""

from __future__ import annotations

from math import pi, radians, tan

import numpy as np

from instructsam_training.tabletop.scene.catalog import Hsv, rgb_of
from instructsam_training.tabletop.scene.scene import Body, Light, OrbitCamera, Room, SurfaceAppearance, Vector

SurfaceRanges = tuple[tuple[str, tuple[Hsv, Hsv]], ...]

TABLE_SURFACES: SurfaceRanges = (
    ('planks', ((18, 0.25, 0.45), (38, 0.6, 0.9))),
    ('grain', ((18, 0.25, 0.40), (38, 0.6, 0.9))),
    ('speckle', ((0, 0.0, 0.35), (360, 0.12, 0.9))),
    ('marble', ((0, 0.0, 0.65), (360, 0.10, 0.9))),
    ('cloth', ((0, 0.05, 0.45), (360, 0.40, 0.9))),
    ('tiles', ((0, 0.0, 0.55), (360, 0.20, 0.9))),
    ('plain', ((0, 0.0, 0.30), (360, 0.25, 0.9))),
)
"""Textures of tables, each with its lowest and highest hue, saturation and value."""
FLOOR_SURFACES: SurfaceRanges = (
    ('tiles', ((0, 0.0, 0.3), (360, 0.2, 0.8))),
    ('planks', ((18, 0.2, 0.3), (38, 0.5, 0.8))),
    TABLE_SURFACES[2],
    TABLE_SURFACES[6],
)
WALL_SURFACES: SurfaceRanges = (
    ('plain', ((0, 0.0, 0.5), (360, 0.25, 0.9))),
    ('speckle', ((0, 0.0, 0.5), (360, 0.15, 0.9))),
)
ELEVATION_DEG = (25, 75)
FIELD_OF_VIEW_DEG = (38, 56)
"""Range of the vertical field of view."""
FILL_LIGHT = 0.10
"""Intensity of the light from straight above."""
DISTANCE_M = (0.50, 1.35)


def sample_room(rng: np.random.Generator) -> Room:
    """Sample a room with a table."""
    length, depth, thick = rng.uniform((0.9, 0.7, 0.02), (1.6, 1.0, 0.06)).tolist()
    return Room(
        table=_sample_surface(rng, TABLE_SURFACES),
        floor=_sample_surface(rng, FLOOR_SURFACES),
        wall=_sample_surface(rng, WALL_SURFACES),
        table_m=(length, depth, thick),
        table_height_m=float(rng.uniform(0.6, 0.9)),
        walls_m=float(rng.uniform(2.0, 3.2)),
    )


def _sample_surface(rng: np.random.Generator, ranges: SurfaceRanges) -> SurfaceAppearance:
    pattern, (low, high) = ranges[int(rng.integers(len(ranges)))]
    hue, saturation, value = rng.uniform(low, high).tolist()
    return SurfaceAppearance(rgb_of((hue, saturation, value)), pattern, int(rng.integers(2**31)))


def sample_lights(rng: np.random.Generator) -> tuple[Light, ...]:
    """Sample ambient light and one or two lamps with a limited total intensity."""
    count = int(rng.integers(1, 3))
    ambient, total = rng.uniform((0.48, 0.95), (0.60, 1.12)).tolist()
    # Lamps share what is left of the total intensity.
    lamps = (total - ambient - FILL_LIGHT) * rng.dirichlet(np.full(count, 4.0))
    shadows = rng.random() < 0.85
    # Ambient light and light from straight above, which casts no shadow; only the first lamp casts shadows.
    lights = [_sample_light(rng, (0.0, 0.0), ambient, FILL_LIGHT, False)]
    lights += [
        _sample_light(rng, (0.2, 1.0), 0.0, float(lamp), bool(shadows) and i == 0) for i, lamp in enumerate(lamps)
    ]
    return tuple(lights)


def _sample_light(
    rng: np.random.Generator, slant: tuple[float, float], ambient: float, diffuse: float, shadow: bool
) -> Light:
    azimuth, away = rng.uniform(0, 2 * pi), rng.uniform(*slant)
    direction = float(away * np.cos(azimuth)), float(away * np.sin(azimuth)), -1.0
    # White balance from a light bulb to a cloudy sky.
    warm = rng.uniform(-0.08, 0.08)
    tone = np.array([1 + warm, 1.0, 1 - warm])
    return Light(direction, _rgb(ambient * tone), _rgb(diffuse * tone), _rgb(0.8 * diffuse * tone), shadow)


def _rgb(values: np.ndarray) -> Vector:
    red, green, blue = values.tolist()
    return red, green, blue


def sample_camera(rng: np.random.Generator, bodies: tuple[Body, ...]) -> OrbitCamera:
    """Sample a camera that sees most of the objects; some are cut off by the image border."""
    positions = np.array([body.position_m for body in bodies])
    middle = (positions.min(0) + positions.max(0)) / 2
    reach = float(np.linalg.norm(positions - middle, axis=1).max()) + 0.05
    field = radians(rng.uniform(*FIELD_OF_VIEW_DEG))
    # At a factor of 1 a sphere of radius `reach` fills the image from top to bottom.
    distance = reach / tan(field / 2) * rng.uniform(0.75, 1.05)
    # The target is off the middle, so that objects are not always in the image center.
    x, y, z = (middle + rng.normal(0, 0.15 * reach, 3) * (1, 1, 0)).tolist()
    return OrbitCamera(
        target_m=(x, y, max(z, 0.0)),
        distance_m=float(np.clip(distance, *DISTANCE_M)),
        azimuth=float(rng.uniform(-pi, pi)),
        elevation=radians(rng.uniform(*ELEVATION_DEG)),
        roll=radians(rng.normal(0, 2.5)),
        field_of_view=field,
    )
