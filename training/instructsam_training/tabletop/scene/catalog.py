"""`Category`: what lies on the table, in which sizes, colors and materials."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

Hsv = tuple[float, float, float]


@dataclass(frozen=True)
class Color:
    """A color that people have one word for.

    Attributes:
        name: that word.
        hsv: hue in degrees, saturation and value 0..1, of the middle of what is called so.
        spread: how far instances differ from it, in the same units.
    """

    name: str
    hsv: Hsv
    spread: Hsv


@dataclass(frozen=True)
class Material:
    """How a surface answers light, in OpenGL's terms.

    Attributes:
        name: as people call it.
        specular: strength of highlights, 0..1.
        shininess: how sharp they are, 0..1.
        pattern: name of a texture in `world`; empty for a plain surface.
    """

    name: str
    specular: float
    shininess: float
    pattern: str = ''


COLORS = {
    color.name: color
    for color in (
        Color('red', (358, 0.88, 0.78), (5, 0.08, 0.10)),
        Color('orange', (24, 0.92, 0.95), (4, 0.06, 0.05)),
        Color('yellow', (52, 0.86, 0.94), (4, 0.08, 0.05)),
        Color('green', (125, 0.72, 0.56), (15, 0.12, 0.10)),
        Color('blue', (218, 0.82, 0.72), (9, 0.10, 0.12)),
        Color('purple', (279, 0.66, 0.56), (8, 0.10, 0.08)),
        Color('pink', (336, 0.42, 0.96), (8, 0.08, 0.04)),
        Color('brown', (24, 0.66, 0.42), (4, 0.07, 0.04)),
        Color('white', (40, 0.03, 0.95), (40, 0.03, 0.04)),
        Color('gray', (210, 0.04, 0.46), (60, 0.03, 0.05)),
        Color('black', (220, 0.12, 0.10), (60, 0.10, 0.03)),
    )
}

MATERIALS = {
    material.name: material
    for material in (
        Material('plastic', 0.35, 0.45),
        Material('metal', 0.9, 0.75, 'brushed'),
        Material('wood', 0.08, 0.15, 'grain'),
    )
}


@dataclass(frozen=True)
class Cavity:
    """The room inside a container, widening from its floor to its rim, as shares of the box around the container.

    Attributes:
        floor_radius: at the floor, in depths of the box.
        rim_radius: at the rim, in depths of the box.
        floor_height: of the floor above the bottom, in heights of the box.
        axis_x: where its axis stands, in lengths of the box from the middle.
    """

    floor_radius: float
    rim_radius: float
    floor_height: float
    axis_x: float = 0.0


@dataclass(frozen=True)
class Category:
    """A kind of thing.

    Attributes:
        name: singular.
        plural: of the name.
        size_m: length, depth and height of the box around a middling one that stands as it is used.
        scale: smallest and largest factor on that.
        stretch: height alone varies by up to this factor and one over it.
        colors: names of its usual colors.
        materials: names.
        cavity: what a container holds; None for other things.
        flat_top: others can stand on it.
        lies: rests on its side as well.
        elongated: long and thin; leans in a mug.
        round: rolls; rests only on the table, on a plate, or in a container.
    """

    name: str
    plural: str
    size_m: tuple[float, float, float]
    scale: tuple[float, float]
    stretch: float
    colors: tuple[str, ...] = tuple(COLORS)
    materials: tuple[str, ...] = ('plastic',)
    cavity: Cavity | None = None
    flat_top: bool = False
    lies: bool = False
    elongated: bool = False
    round: bool = False

    @property
    def is_container(self) -> bool:
        """Whether things are inside of it rather than on it; a plate is none."""
        return self.cavity is not None and not self.flat_top


BRIGHT = ('red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink')
CATALOG = {
    category.name: category
    for category in (
        Category(
            'box', 'boxes', (0.07, 0.07, 0.06), (0.6, 1.45), 1.25, materials=('plastic', 'wood', 'metal'), flat_top=True
        ),
        Category('book', 'books', (0.20, 0.14, 0.03), (0.75, 1.2), 1.4, flat_top=True),
        Category('ball', 'balls', (0.07, 0.07, 0.07), (0.6, 1.4), 1.0, (*BRIGHT, 'white', 'black'), round=True),
        Category('can', 'cans', (0.066, 0.066, 0.12), (0.75, 1.25), 1.15, materials=('metal',), lies=True),
        Category(
            'mug', 'mugs', (0.120, 0.085, 0.095), (0.75, 1.35), 1.15, cavity=Cavity(0.43, 0.45, 0.085, axis_x=-0.144)
        ),
        Category(
            'cup', 'cups', (0.080, 0.080, 0.115), (0.75, 1.3), 1.15, materials=('plastic', 'metal'),
            cavity=Cavity(0.33, 0.46, 0.053),
        ),
        Category(
            'bowl', 'bowls', (0.16, 0.16, 0.065), (0.7, 1.3), 1.15, materials=('plastic', 'wood', 'metal'),
            cavity=Cavity(0.22, 0.46, 0.106),
        ),
        Category(
            'plate', 'plates', (0.22, 0.22, 0.022), (0.7, 1.2), 1.1, cavity=Cavity(0.30, 0.48, 0.301), flat_top=True
        ),
        Category('bottle', 'bottles', (0.07, 0.07, 0.23), (0.75, 1.25), 1.12, lies=True),
        Category('hammer', 'hammers', (0.24, 0.10, 0.032), (0.75, 1.2), 1.0, (*BRIGHT, 'brown', 'black')),
        Category(
            'screwdriver', 'screwdrivers', (0.20, 0.032, 0.032), (0.75, 1.3), 1.0, (*BRIGHT, 'black'), elongated=True
        ),
        Category(
            'wrench', 'wrenches', (0.20, 0.052, 0.012), (0.75, 1.35), 1.0, ('gray', 'red', 'blue', 'black'), ('metal',)
        ),
        Category(
            'spoon', 'spoons', (0.17, 0.042, 0.016), (0.8, 1.35), 1.0, materials=('plastic', 'wood', 'metal'),
            elongated=True,
        ),
        Category(
            'knife', 'knives', (0.23, 0.028, 0.016), (0.75, 1.2), 1.0, (*BRIGHT, 'brown', 'black', 'white'),
            elongated=True,
        ),
        Category('apple', 'apples', (0.075, 0.075, 0.080), (0.8, 1.25), 1.0, ('red', 'green', 'yellow'), round=True),
        Category('banana', 'bananas', (0.17, 0.065, 0.034), (0.8, 1.2), 1.0, ('yellow', 'green')),
    )
}  # fmt: skip
"""All categories by name."""


def rgb_of(hsv: Hsv) -> tuple[float, float, float]:
    """Red, green and blue 0..1 of a color whose hue is in degrees."""
    hue, saturation, value = hsv
    return colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
