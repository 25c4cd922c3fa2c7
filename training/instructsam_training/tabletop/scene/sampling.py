"""`sample_scene`: a scene of a seed.

Instructions must matter, so things are not independent of each other: a scene has a theme, and most of its things share
the theme's category in another color, its color in another category, or both in another size.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np

from instructsam_training.tabletop.scene.catalog import CATALOG, COLORS, Category, Color, rgb_of
from instructsam_training.tabletop.scene.placement import LYING, TRIES, Place, inside, on_top
from instructsam_training.tabletop.scene.randomization import sample_camera, sample_lights, sample_room
from instructsam_training.tabletop.scene.scene import Body, Motion, Scene, Vector, slid

THINGS = (3, 10)
"""Fewest and most things of a scene."""
COMMON = 4.0
"""How much more often categories are drawn that can be stacked, filled or sorted by size than the others."""
THEMED, SAME_CATEGORY, SAME_COLOR = 0.8, 0.45, 0.25
"""Share of the scenes with a theme, and of their things those of its category, and of its color."""
PUT_TOGETHER = 0.5
"""Share of things that are put on or into another one where one fits."""
LIES = 0.3
"""Share of things that lie, of those that can."""
SLIDE_STEPS = 20
"""Places on the way of a sliding thing that are checked, at most a centimeter apart."""
DISTINCT = 1.3
"""Factor between the sizes of two things of a category, where the range has room for it."""


def sample_scene(seed: int) -> Scene:
    """A scene of 3 to 10 things; the same seed gives the same scene everywhere."""
    rng = np.random.default_rng([seed, 0x7AB1E])
    room = sample_room(rng)
    bodies = _sample_bodies(rng, Place(float(rng.uniform(0.13, 0.27)), room.table_m[:2]))
    camera = sample_camera(rng, bodies)
    lights = sample_lights(rng)
    return Scene(seed, bodies, room, lights, camera, _sample_motion(rng, bodies, room.table_m))


def _sample_bodies(rng: np.random.Generator, place: Place) -> tuple[Body, ...]:
    wanted = int(rng.integers(THINGS[0], THINGS[1] + 1))
    theme = _sample_kind(rng) if rng.random() < THEMED else None
    bodies: tuple[Body, ...] = ()
    for _ in range(3 * wanted):
        if len(bodies) < wanted:
            body = _put(rng, _sample_body(rng, theme, bodies), bodies, place)
            bodies = bodies if body is None else (*bodies, body)
    return bodies


def _sample_kind(rng: np.random.Generator) -> tuple[Category, Color]:
    categories = list(CATALOG.values())
    weights = np.array([COMMON if each.cavity or each.flat_top or each.round else COMMON / 2 for each in categories])
    category = categories[rng.choice(len(categories), p=weights / weights.sum())]
    return category, COLORS[str(rng.choice(category.colors))]


def _sample_body(rng: np.random.Generator, theme: tuple[Category, Color] | None, others: tuple[Body, ...]) -> Body:
    """A thing that has no place yet."""
    category, color = _sample_kind(rng)
    if theme is not None:
        fate = rng.random()
        if fate < SAME_CATEGORY:
            category = theme[0]
            color = theme[1] if rng.random() < 0.4 else COLORS[str(rng.choice(category.colors))]
        elif fate < SAME_CATEGORY + SAME_COLOR and theme[1].name in category.colors:
            color = theme[1]
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
        tilt=LYING if category.lies and rng.random() < LIES else 0.0,
    )


def _sample_size(rng: np.random.Generator, category: Category, others: list[Body]) -> Vector:
    """A size that people see to be different from those of others of the category, if there is one left."""
    lengths = [other.size_m[0] for other in others]
    for _ in range(TRIES):
        scale = float(np.exp(rng.uniform(*np.log(category.scale))))
        length = scale * category.size_m[0]
        if all(max(length, each) > DISTINCT * min(length, each) for each in lengths):
            break
    stretch = float(np.exp(rng.uniform(-1, 1) * np.log(category.stretch)))
    return length, scale * category.size_m[1], stretch * scale * category.size_m[2]


def _put(rng: np.random.Generator, body: Body, others: tuple[Body, ...], place: Place) -> Body | None:
    """The thing at its place: on or in another one, else on the table; None where nothing has room for it."""
    covered = {other.on for other in others} | {other.inside for other in others}
    if rng.random() < PUT_TOGETHER:
        upright = replace(body, tilt=0.0)
        for index in rng.permutation(len(others)).tolist():
            below = others[index]
            if below.label not in covered and below.inside is None:
                put = inside if CATALOG[below.category].is_container else on_top
                placed = put(rng, upright, below)
                if placed is not None and place.is_free(placed, others):
                    return placed
    return place.on_table(rng, body, others)


def _sample_motion(rng: np.random.Generator, bodies: tuple[Body, ...], table_m: Vector) -> Motion:
    """The camera swings; one thing that stands alone slides along a free way, where there is one."""
    orbit, orbit_period, slide_period = rng.uniform((0.2, 12, 5), (0.5, 24, 10)).tolist()
    bound = {body.on for body in bodies} | {body.inside for body in bodies}
    for body in (bodies[index] for index in rng.permutation(len(bodies)).tolist()):
        if body.label in bound or body.on or body.inside:
            continue
        angle, way = rng.uniform(0, 2 * pi), rng.uniform(0.08, 0.2)
        slide = way * np.array([np.cos(angle), np.sin(angle), 0.0])
        others = tuple(other for other in bodies if other is not body)
        free = Place(0.0, table_m[:2]).is_free
        if all(free(slid(body, share * slide), others) for share in np.linspace(0, 1, SLIDE_STEPS)):
            return Motion(orbit, orbit_period, body.label, (float(slide[0]), float(slide[1])), slide_period)
    return Motion(orbit, orbit_period, None, (0.0, 0.0), slide_period)
