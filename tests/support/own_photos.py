"""Images as a user takes them, with the names that they have for their things: printed surfaces, sensor noise, JPEG.

The objects are those of the simulated tabletop, with patterns that the embedded checkpoint was not trained on, and
names that it does not know.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from instructsam_training.tabletop.scene.sampling import sample_scene

if TYPE_CHECKING:
    from instructsam_training.tabletop.render.render import Renderer

NAMES = {'can': 'tin', 'bottle': 'flask', 'mug': 'beaker', 'box': 'crate', 'plate': 'saucer', 'ball': 'orb'}
"""The user's categories; objects of other kinds are not annotated."""
MIN_AREA_PX = 120
FIRST_SEED = 9_000_001
"""Scenes that the embedded checkpoint was not trained on have odd seeds."""
JPEG_QUALITY = 88

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Photo:
    """An image and its things.

    Attributes:
        name: stem of its file.
        jpeg: its content.
        size_wh: width and height.
        things: category and mask of each.
    """

    name: str
    jpeg: bytes
    size_wh: tuple[int, int]
    things: tuple[tuple[str, Mask], ...]


def take_photos(renderer: Renderer, count: int, first_seed: int = FIRST_SEED) -> Iterator[Photo]:
    """Yield images that show at least three annotated things."""
    seed, taken = first_seed, 0
    while taken < count:
        view = renderer.render(sample_scene(seed))
        things = tuple(
            (NAMES[each.category], view.labels == each.label)
            for each in view.objects
            if each.category in NAMES and each.area_px >= MIN_AREA_PX
        )
        if len(things) >= 3:
            rng = np.random.default_rng(seed)
            image = _develop(_print_patterns(view.image_rgb, [mask for _, mask in things], rng), rng)
            yield Photo(f'IMG_{2400 + taken}', _jpeg(image), renderer.size_wh, things)
            taken += 1
        seed += 2


def blank_photos(count: int) -> list[Photo]:
    """Small blank images, without a renderer; every second one has two categories."""
    found = []
    for number in range(count):
        content = io.BytesIO()
        Image.new('RGB', (32, 24), (number, 0, 0)).save(content, 'jpeg')
        mask = np.zeros((24, 32), dtype=bool)
        mask[4:16, 4:20] = True
        other = np.zeros_like(mask)
        other[2:20, 22:30] = True
        things = (('red_mug', mask), ('class_0', other))[: 1 + number % 2]
        found.append(Photo(f'IMG_{number}', content.getvalue(), (32, 24), things))
    return found


def _print_patterns(image_rgb: Pixels, masks: list[Mask], rng: np.random.Generator) -> Pixels:
    """Print colored stripes, checks or blotches onto half of the things, which keep their shading."""
    printed = image_rgb.astype(np.float32)
    rows, columns = np.mgrid[: image_rgb.shape[0], : image_rgb.shape[1]]
    for mask in masks:
        if rng.random() < 0.5:
            continue
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 18)
        wave = np.sin((np.cos(angle) * columns + np.sin(angle) * rows) * 2 * np.pi / period)
        other = np.sin((np.sin(angle) * columns - np.cos(angle) * rows) * 2 * np.pi / period)
        share = (wave if rng.random() < 0.5 else wave * other) > rng.uniform(0.0, 0.5)
        ink = rng.uniform(0.25, 1.6, 3)
        printed[mask & share] *= ink
    return np.clip(printed, 0, 255).astype(np.uint8)


def _develop(image_rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """Add what a camera adds: blur, vignette, white balance and noise."""
    height, width = image_rgb.shape[:2]
    soft = cv2.GaussianBlur(image_rgb, (0, 0), 0.6).astype(np.float32)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    soft *= (1 - 0.18 * (rows**2 + columns**2))[..., None] * rng.uniform(0.93, 1.07, 3)
    noisy = soft + rng.normal(0, 4.0, soft.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _jpeg(image_rgb: Pixels) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image_rgb).save(content, 'jpeg', quality=JPEG_QUALITY)
    return content.getvalue()
