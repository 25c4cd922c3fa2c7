"""Procedural gray textures; the renderer multiplies them by the color of the surface.

Gray values are float32 [SIDE, SIDE], about 0..1. All textures tile: noise wraps around at the borders.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 256
"""Width and height of a texture, pixels."""

Gray = npt.NDArray[np.float32]
Texture = npt.NDArray[np.uint8]


def texture(pattern: str, seed: int) -> Texture:
    """Return a texture, uint8 [SIDE, SIDE, 3].

    Raises:
        ValueError: the pattern is unknown.
    """
    if pattern not in PATTERNS:
        raise ValueError(f'pattern: expected one of {", ".join(PATTERNS)}, got {pattern!r}')
    gray = PATTERNS[pattern](np.random.default_rng(seed))
    return np.repeat((255 * np.clip(gray, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def noise(rng: np.random.Generator, cells_xy: tuple[int, int]) -> Gray:
    """Return smooth periodic noise of mean 0 and standard deviation about 0.3, from one random value per cell."""
    columns, rows = cells_xy
    # Two wrapped cells around cover the support of the cubic filter; they are cropped below.
    values = np.pad(rng.normal(0, 0.5, (rows, columns)), 2, mode='wrap').astype(np.float32)
    large = cv2.resize(values, None, fx=SIDE / columns, fy=SIDE / rows, interpolation=cv2.INTER_CUBIC)
    top, left = 2 * SIDE // rows, 2 * SIDE // columns
    return np.asarray(large[top : top + SIDE, left : left + SIDE], np.float32)


def _plain(rng: np.random.Generator) -> Gray:
    return 0.95 + 0.03 * noise(rng, (4, 4)) + 0.02 * noise(rng, (128, 128))


def _grain(rng: np.random.Generator) -> Gray:
    """Wood: growth rings cut along the trunk, distorted by noise."""
    rows = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None]
    rings = np.sin(2 * np.pi * (int(rng.integers(4, 10)) * rows + 0.5 * noise(rng, (2, 8))))
    return np.asarray(0.82 + 0.10 * rings + 0.10 * noise(rng, (4, 64)) + 0.06 * noise(rng, (8, 128)), np.float32)


def _planks(rng: np.random.Generator) -> Gray:
    count = int(rng.choice([4, 8]))
    wide = SIDE // count
    # One shade per plank, and dark joints between them.
    shades = np.repeat(rng.uniform(-0.12, 0.06, count), wide)[:, None]
    gray = np.asarray(_grain(rng) + shades, np.float32)
    gray[::wide] *= 0.55
    return gray


def _speckle(rng: np.random.Generator) -> Gray:
    """Stone: clouds and grains."""
    gray = 0.85 + 0.10 * noise(rng, (8, 8)) + 0.16 * noise(rng, (128, 128)) + 0.08 * noise(rng, (32, 32))
    return np.asarray(gray, np.float32)


def _marble(rng: np.random.Generator) -> Gray:
    # Veins are the zeros of a sine of distorted noise; the square root makes them sharp.
    bent = 2 * noise(rng, (4, 4)) + 0.8 * noise(rng, (8, 8)) + 0.4 * noise(rng, (32, 32))
    return np.asarray(0.70 + 0.27 * np.sqrt(np.abs(np.sin(np.pi * bent))), np.float32)


def _cloth(rng: np.random.Generator) -> Gray:
    """Cloth: a weave with stripes in both directions."""
    stripes = np.sign(np.sin(2 * np.pi * int(rng.integers(3, 9)) * np.linspace(0, 1, SIDE, endpoint=False)))
    strength = rng.uniform(0.0, 0.14)
    # Threads: noise stretched along y, and along x.
    threads = 0.05 * noise(rng, (128, 32)) + 0.05 * noise(rng, (32, 128))
    return np.asarray(0.84 + threads + strength * 0.5 * (stripes[:, None] + stripes[None]), np.float32)


def _tiles(rng: np.random.Generator) -> Gray:
    count = int(rng.choice([4, 8]))
    wide = SIDE // count
    shades = rng.uniform(0.78, 0.98, (count, count)).astype(np.float32)
    # Some are checkered.
    if rng.random() < 0.4:
        shades[np.indices((count, count)).sum(0) % 2 == 0] -= 0.25
    gray = np.kron(shades, np.ones((wide, wide), np.float32)) + 0.04 * noise(rng, (64, 64))
    # Dark joints of one pixel.
    gray[::wide], gray[:, ::wide] = 0.55, 0.55
    return gray


def _brushed(rng: np.random.Generator) -> Gray:
    """Metal: light and dark bands, like reflections of a room, and fine scratches."""
    return 0.78 + 0.34 * noise(rng, (1, 8)) + 0.06 * noise(rng, (2, 128))


PATTERNS: dict[str, Callable[[np.random.Generator], Gray]] = {
    'plain': _plain,
    'grain': _grain,
    'planks': _planks,
    'speckle': _speckle,
    'marble': _marble,
    'cloth': _cloth,
    'tiles': _tiles,
    'brushed': _brushed,
}
"""Generators by the name of the pattern."""
