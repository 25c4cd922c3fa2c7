"""When a picture counts as the one before."""

from __future__ import annotations

import numpy as np

from instructsam_model import Frame
from instructsam_model.instructsam.scene_change import Thumbnail, changes_little

SHAPE = (480, 640, 3)


def thumbnail(image: np.ndarray) -> Thumbnail:
    return Thumbnail.of(Frame(image.clip(0, 255).astype(np.uint8)))


def test_noise_is_little_and_a_small_thing_that_moves_is_much() -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(60, 200, (24, 32, 3)).repeat(20, 0).repeat(20, 1).astype(float)
    with_ball, moved = table.copy(), table.copy()
    with_ball[200:230, 300:330] = 255
    moved[200:230, 340:370] = 255
    before = thumbnail(with_ball)
    assert changes_little(before, thumbnail(with_ball + rng.normal(0, 12, SHAPE)))
    assert changes_little(before, thumbnail(with_ball + 3))  # exposure drifts
    assert not changes_little(before, thumbnail(moved))
    assert not changes_little(before, thumbnail(table))


def test_without_a_picture_before_everything_is_new() -> None:
    assert not changes_little(None, thumbnail(np.zeros(SHAPE)))
