"""Colors of masks: the palette of the public agent, and which of its colors a mask gets.

Notation:
    C     number of colors in the palette, 20
    H, W  height and width of the image, pixels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from instructsam_model.draw import LUMINANCE, ImageArray, Rgb

MIN_TEXT_COMPONENT = 0.15
"""Smallest red, green and blue of a number, 0..1: it stays readable on its dark or white box."""
MIN_LARGEST_TEXT_COMPONENT = 0.8
MIN_LUMA_FOR_BLACK_BOX = 128
"""Luma of a number, 0..255, above which its box is black instead of white."""
MAX_SAMPLED_PIXELS = 40_000
"""Pixels of an image that are compared with the palette to choose the colors of all its masks."""

Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class NamedColor:
    """A color of the palette.

    Attributes:
        name: for people and prompts.
        rgb: 0..255.
        fractions: 0..1 in steps of a thousandth, as the public agent stores it for overlays.
    """

    name: str
    rgb: Rgb
    fractions: Fractions

    @property
    def hex(self) -> str:
        """Such as '#ff7f00'."""
        return '#{:02x}{:02x}{:02x}'.format(*self.rgb)


def _named(name: str, rgb: Rgb) -> NamedColor:
    red, green, blue = (round(value / 255, 3) for value in rgb)
    return NamedColor(name, rgb, (red, green, blue))


PALETTE: tuple[NamedColor, ...] = tuple(
    _named(name, rgb)
    for name, rgb in (
        ('yellow', (255, 255, 0)),
        ('lime', (0, 255, 0)),
        ('cyan', (0, 255, 255)),
        ('magenta', (255, 0, 255)),
        ('red', (255, 0, 0)),
        ('orange', (255, 127, 0)),
        ('chartreuse', (127, 255, 0)),
        ('spring green', (0, 255, 127)),
        ('rose', (255, 0, 127)),
        ('violet', (127, 0, 255)),
        ('electric lime', (192, 255, 0)),
        ('vivid orange', (255, 192, 0)),
        ('turquoise', (0, 255, 192)),
        ('bright violet', (192, 0, 255)),
        ('bright pink', (255, 0, 192)),
        ('fiery orange', (255, 64, 0)),
        ('bright chartreuse', (64, 255, 0)),
        ('malachite', (0, 255, 64)),
        ('deep violet', (64, 0, 255)),
        ('hot pink', (255, 0, 64)),
    )
)
"""Bright colors in the order of the public agent; where two fit equally well, the first is taken."""
_PALETTE_RGB = np.array([color.rgb for color in PALETTE], np.float64)  # (C, 3)

ChooseColors = Callable[[ImageArray, int], tuple[NamedColor, ...]]
"""Gives the colors of a number of masks of an image."""


def farthest_color(pixels_rgb: NDArray[np.uint8]) -> NamedColor:
    """Return the color with the largest mean distance to pixels, of equal ones the first of the palette.

    Args:
        pixels_rgb: uint8 (..., 3), at least one pixel; the box of a mask.

    Raises:
        ValueError: there are no pixels.
    """
    return PALETTE[int(mean_distances(pixels_rgb).argmax())]


def mean_distances(pixels_rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean Euclidean distance of each color of the palette to pixels (..., 3); (C,).

    Raises:
        ValueError: there are no pixels.
    """
    pixels = pixels_rgb.reshape(-1, 3).astype(np.float64)
    if not len(pixels):
        raise ValueError('pixels_rgb: expected at least one pixel, got none')
    # One color at a time: a whole image times the palette would be large.
    return np.array([np.linalg.norm(pixels - color, axis=1).mean() for color in _PALETTE_RGB])


def distinct_colors(image_rgb: ImageArray, count: int) -> tuple[NamedColor, ...]:
    """Return colors that differ from the image and from each other; a color is used again after 20 masks.

    Each color is the one with the largest sum of its mean distance to the image and its distance to the nearest color
    before it. The same image always gives the same colors, and more masks do not change those of the first.
    """
    height, width = image_rgb.shape[:2]
    step = max(1, ceil(sqrt(height * width / MAX_SAMPLED_PIXELS)))
    to_image = mean_distances(image_rgb[::step, ::step])
    to_chosen = np.full(len(PALETTE), np.inf)
    order: list[int] = []
    for _ in range(min(count, len(PALETTE))):
        score = to_image if not order else to_image + to_chosen
        score = np.where(np.isin(np.arange(len(PALETTE)), order), -np.inf, score)
        order.append(int(score.argmax()))
        to_chosen = np.minimum(to_chosen, np.linalg.norm(_PALETTE_RGB - _PALETTE_RGB[order[-1]], axis=1))
    return tuple(PALETTE[order[index % len(PALETTE)]] for index in range(count))


class RandomColors:
    """Draws colors at random with replacement, as the public agent does: masks of one image may share a color.

    Args:
        seed: of NumPy's generator; the colors of a run follow from it and from the numbers of masks so far.
    """

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.RandomState(seed)

    def __call__(self, image_rgb: ImageArray, count: int) -> tuple[NamedColor, ...]:
        """Return the next colors; the image does not matter."""
        return tuple(PALETTE[self._generator.randint(0, len(PALETTE))] for _ in range(count))


def text_color(mask_color: Fractions) -> Fractions:
    """Return the color of a number, 0..1, on a mask of a color: the same, but not too dark."""
    components = [max(component, MIN_TEXT_COMPONENT) for component in mask_color]
    largest = components.index(max(components))
    components[largest] = max(components[largest], MIN_LARGEST_TEXT_COMPONENT)
    red, green, blue = components
    return red, green, blue


def text_box_color(text: Fractions) -> str:
    """Return the color of the box behind a number of a color: black behind bright ones, else white."""
    luma = 255 * float(np.dot(text, LUMINANCE))
    return '#000000' if luma > MIN_LUMA_FOR_BLACK_BOX else '#ffffff'
