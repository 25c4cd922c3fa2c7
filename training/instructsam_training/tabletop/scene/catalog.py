"""`CATALOG`: categories of objects with their sizes, colors and materials."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

Hsv = tuple[float, float, float]


@dataclass(frozen=True)
class Color:
    """A basic color term with its range.

    Attributes:
        name: the color term.
        hsv: center of the range: hue in degrees, saturation and value 0..1.
        spread: half-width of the range, in the same units.
    """

    name: str
    hsv: Hsv
    spread: Hsv


@dataclass(frozen=True)
class Material:
    """Reflection properties of a surface, in OpenGL's terms.

    Attributes:
        name: word for the material.
        specular: intensity of highlights, 0..1.
        shininess: sharpness of highlights, 0..1.
        pattern: key of `textures.PATTERNS`; empty for a plain surface.
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
    """Inside of a container: a truncated cone, relative to the bounding box of the container.

    Attributes:
        floor_radius: radius at the floor, in units of the box's depth.
        rim_radius: radius at the rim, in units of the box's depth.
        floor_height: height of the floor above the bottom, in units of the box's height.
        axis_x: offset of its axis from the middle, in units of the box's length.
    """

    floor_radius: float
    rim_radius: float
    floor_height: float
    axis_x: float = 0.0


@dataclass(frozen=True)
class Category:
    """A category of objects.

    Attributes:
        name: singular noun.
        plural: plural noun.
        size_m: length, depth and height of the bounding box of an average one, upright.
        scale: smallest and largest factor on the size.
        stretch: largest factor on the height alone; the smallest is its inverse.
        colors: names of its usual colors.
        materials: names of its materials.
        cavity: inside of a container or plate; None for other objects.
        flat_top: other objects can stand on it.
        lies: it can also lie on its side.
        elongated: it is long and thin and leans in a container.
        round: it rolls and rests only on the table, on a plate, or in a container.
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
        """Whether objects are inside it rather than on it; a plate is no container."""
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
"""Categories by name."""


def rgb_of(hsv: Hsv) -> tuple[float, float, float]:
    """Convert a color with hue in degrees to red, green and blue 0..1."""
    hue, saturation, value = hsv
    return colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
