"""Scene-change detection on images with noise, exposure drift and moving objects."""

from __future__ import annotations

import numpy as np

from instructsam_model import Frame
from instructsam_model.instructsam.scene_change import Thumbnail, is_scene_unchanged

SHAPE = (480, 640, 3)


def thumbnail(image: np.ndarray) -> Thumbnail:
    return Thumbnail.of(Frame(image.clip(0, 255).astype(np.uint8)))


def test_noise_is_no_change_and_a_small_moved_object_is() -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(60, 200, (24, 32, 3)).repeat(20, 0).repeat(20, 1).astype(float)
    with_ball, moved = table.copy(), table.copy()
    with_ball[200:230, 300:330] = 255
    moved[200:230, 340:370] = 255
    before = thumbnail(with_ball)
    assert is_scene_unchanged(before, thumbnail(with_ball + rng.normal(0, 12, SHAPE)))
    assert is_scene_unchanged(before, thumbnail(with_ball + 3))  # exposure drift
    assert not is_scene_unchanged(before, thumbnail(moved))
    assert not is_scene_unchanged(before, thumbnail(table))


def test_scene_counts_as_changed_without_an_earlier_image() -> None:
    assert not is_scene_unchanged(None, thumbnail(np.zeros(SHAPE)))
