"""Procedural textures: shape, determinism, brightness, and tiling of noise."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_training.tabletop.scene.textures import PATTERNS, SIDE, noise, texture


@pytest.mark.parametrize('pattern', PATTERNS)
def test_texture_is_gray_light_and_depends_on_the_seed(pattern: str) -> None:
    pixels = texture(pattern, seed=3)
    assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert np.array_equal(pixels, texture(pattern, seed=3))
    assert not np.array_equal(pixels, texture(pattern, seed=4))
    assert (pixels == pixels[..., :1]).all()
    assert pixels.mean() > 120


def test_noise_wraps_around_at_the_borders() -> None:
    values = noise(np.random.default_rng(0), (8, 4))
    assert abs(values.mean()) < 0.3
    step = np.abs(np.diff(values, axis=0)).max(), np.abs(np.diff(values, axis=1)).max()
    assert np.abs(values[0] - values[-1]).max() <= step[0]
    assert np.abs(values[:, 0] - values[:, -1]).max() <= step[1]


def test_unknown_pattern() -> None:
    with pytest.raises(ValueError, match=r"expected one of plain, .*, got 'fur'"):
        texture('fur', seed=0)
