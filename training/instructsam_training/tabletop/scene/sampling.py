"""`sample_scene`: a random scene from a seed.

Segmentation must depend on the instruction, so objects are not independent: a scene has a theme (a category and a
color), and most of its objects share the theme's category in another color, its color in another category, or both in
another size.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np

from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, Category, Color, rgb_of
from instructsam_training.tabletop.scene.placement import (
    LYING_TILT,
    MAX_TRIES,
    PlacementArea,
    place_inside,
    place_on_top,
)
from instructsam_training.tabletop.scene.randomization import sample_camera, sample_lights, sample_room
from instructsam_training.tabletop.scene.scene import Body, Motion, Scene, Vector, translated

OBJECT_COUNT = (3, 10)
"""Smallest and largest number of objects in a scene."""
COMMON_WEIGHT = 4.0
"""Sampling weight of categories that can be stacked, filled or rolled; the others have half of it."""
THEME_PROBABILITY = 0.8
SAME_CATEGORY_PROBABILITY = 0.45
SAME_COLOR_PROBABILITY = 0.25
"""Probability that a scene has a theme, and that an object takes its category, or its color."""
STACKING_PROBABILITY = 0.5
"""Probability that an object is placed on or in another one, if one fits."""
LYING_PROBABILITY = 0.3
"""Probability that an object lies, if its category can."""
SLIDE_STEPS = 20
"""Positions along a slide that are tested for collisions, at most a centimeter apart."""
MIN_SIZE_RATIO = 1.3
"""Ratio between the sizes of two objects of a category, if the range of sizes allows it."""


def sample_scene(seed: int) -> Scene:
    """Sample a scene of 3 to 10 objects; the same seed gives the same scene on every machine."""
    # Results depend on the order of the calls to `rng`: changing it changes all scenes.
    rng = np.random.default_rng([seed, 0x7AB1E])
    room = sample_room(rng)
    bodies = _sample_bodies(rng, PlacementArea(float(rng.uniform(0.13, 0.27)), room.table_m[:2]))
    camera = sample_camera(rng, bodies)
    lights = sample_lights(rng)
    return Scene(seed, bodies, room, lights, camera, _sample_motion(rng, bodies, room.table_m))


def _sample_bodies(rng: np.random.Generator, area: PlacementArea) -> tuple[Body, ...]:
    count = int(rng.integers(OBJECT_COUNT[0], OBJECT_COUNT[1] + 1))
    theme = _sample_kind(rng) if rng.random() < THEME_PROBABILITY else None
    bodies: tuple[Body, ...] = ()
    # Bodies without room are dropped, so there are more attempts than bodies.
    for _ in range(3 * count):
        if len(bodies) < count:
            body = _place(rng, _sample_body(rng, theme, bodies), bodies, area)
            bodies = bodies if body is None else (*bodies, body)
    return bodies


def _sample_kind(rng: np.random.Generator) -> tuple[Category, Color]:
    categories = list(CATALOG.values())
    weights = np.array(
        [COMMON_WEIGHT if each.cavity or each.flat_top or each.round else COMMON_WEIGHT / 2 for each in categories]
    )
    category = categories[rng.choice(len(categories), p=weights / weights.sum())]
    return category, COLORS[str(rng.choice(category.colors))]


def _sample_body(rng: np.random.Generator, theme: tuple[Category, Color] | None, others: tuple[Body, ...]) -> Body:
    """Sample a body without position."""
    # The kind is sampled even if the theme replaces it.
    category, color = _sample_kind(rng)
    if theme is not None:
        draw = rng.random()
        if draw < SAME_CATEGORY_PROBABILITY:
            category = theme[0]
            color = theme[1] if rng.random() < 0.4 else COLORS[str(rng.choice(category.colors))]
        elif draw < SAME_CATEGORY_PROBABILITY + SAME_COLOR_PROBABILITY and theme[1].name in category.colors:
            color = theme[1]
    # Exact color: uniform within the range of the color term.
    offset = rng.uniform(-1, 1, 3) * color.spread
    hue, saturation, value = (np.array(color.hsv) + offset).tolist()
    return Body(
        label=len(others) + 1,
        category=category.name,
        color=color.name,
        material=str(rng.choice(category.materials)),
        rgb=rgb_of((hue, min(max(saturation, 0), 1), min(max(value, 0), 1))),
        size_m=_sample_size(rng, category, [other for other in others if other.category == category.name]),
        position_m=(0, 0, 0),
        yaw=0.0,
        tilt=LYING_TILT if category.lies and rng.random() < LYING_PROBABILITY else 0.0,
    )


def _sample_size(rng: np.random.Generator, category: Category, others: list[Body]) -> Vector:
    """Sample a size that differs visibly from those of other bodies of the category, if the range allows it."""
    lengths = [other.size_m[0] for other in others]
    for _ in range(MAX_TRIES):
        # Log-uniform, so that half and double size are equally likely.
        scale = float(np.exp(rng.uniform(*np.log(category.scale))))
        length = scale * category.size_m[0]
        if all(max(length, each) > MIN_SIZE_RATIO * min(length, each) for each in lengths):
            break
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(category.stretch)))
    return length, scale * category.size_m[1], stretch * scale * category.size_m[2]


def _place(rng: np.random.Generator, body: Body, others: tuple[Body, ...], area: PlacementArea) -> Body | None:
    """Place a body on or in another one, else on the table; None if there is no room."""
    # At most one body on or in each other one.
    occupied = {other.on for other in others} | {other.inside for other in others}
    if rng.random() < STACKING_PROBABILITY:
        upright = replace(body, tilt=0.0)
        for index in rng.permutation(len(others)).tolist():
            below = others[index]
            if below.label not in occupied and below.inside is None:
                place = place_inside if CATALOG[below.category].is_container else place_on_top
                placed = place(rng, upright, below)
                if placed is not None and area.is_free(placed, others):
                    return placed
    return area.place_on_table(rng, body, others)


def _sample_motion(rng: np.random.Generator, bodies: tuple[Body, ...], table_m: Vector) -> Motion:
    """Sample the swing of the camera, and a free slide of one body that neither supports another nor is supported."""
    orbit, orbit_period, slide_period = rng.uniform((0.2, 12, 5), (0.5, 24, 10)).tolist()
    supports = {body.on for body in bodies} | {body.inside for body in bodies}
    for body in (bodies[index] for index in rng.permutation(len(bodies)).tolist()):
        if body.label in supports or body.on or body.inside:
            continue
        angle, distance = rng.uniform(0, 2 * pi), rng.uniform(0.08, 0.2)
        slide = distance * np.array([np.cos(angle), np.sin(angle), 0.0])
        others = tuple(other for other in bodies if other is not body)
        is_free = PlacementArea(0.0, table_m[:2]).is_free
        if all(is_free(translated(body, share * slide), others) for share in np.linspace(0, 1, SLIDE_STEPS)):
            return Motion(orbit, orbit_period, body.label, (float(slide[0]), float(slide[1])), slide_period)
    return Motion(orbit, orbit_period, None, (0.0, 0.0), slide_period)
