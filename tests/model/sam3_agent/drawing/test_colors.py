"""Golden colors: tests/golden/agent, of the public agent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instructsam_model.sam3_agent.drawing.colors import (
    PALETTE,
    RandomColors,
    distinct_colors,
    farthest_color,
    text_box_color,
    text_color,
)
from tests.support import GOLDEN

PURE = GOLDEN / 'agent' / 'pure'
IMAGE = np.full((12, 16, 3), (30, 200, 40), np.uint8)


def test_palette_and_farthest_colors_are_the_recorded_ones() -> None:
    recorded = json.loads((PURE / 'farthest_colour.json').read_text())
    assert [[color.hex, color.name] for color in PALETTE] == recorded['palette']
    stored = np.array([color.fractions for color in PALETTE], np.float32)
    assert stored.tolist() == recorded['overlay_palette_0_1']
    for case in recorded['cases']:
        assert farthest_color(np.array(case['pixels'], np.uint8)).name == case['name']


def test_numbers_have_the_recorded_colors() -> None:
    for case in json.loads((PURE / 'text_style.json').read_text())['colours']:
        ink = text_color(tuple(case['mask_colour']))
        assert (list(ink), text_box_color(ink)) == (case['text_colour'], case['box'])


def test_a_dark_color_is_lightened_in_its_largest_component_only() -> None:
    assert text_color((0.0, 0.3, 0.2)) == (0.15, 0.8, 0.2)


def test_distinct_colors_do_not_repeat_and_stay_when_masks_are_added() -> None:
    colors = distinct_colors(IMAGE, 23)
    assert len(set(colors[:20])) == 20
    assert colors[20:] == colors[:3]
    assert distinct_colors(IMAGE, 4) == colors[:4]
    # Neighbors in the palette look alike: the first colors must not.
    first = np.array([color.rgb for color in colors[:4]], float)
    distances = np.linalg.norm(first[:, None] - first[None], axis=2)
    assert distances[~np.eye(4, dtype=bool)].min() > 250
    assert 'lime' not in {color.name for color in colors[:4]}  # the color of the image


def test_random_colors_follow_from_the_seed_and_may_repeat() -> None:
    colors = RandomColors(0)
    drawn = [color.name for count in (2, 1, 2) for color in colors(IMAGE, count)]
    # Runs 03 and 10 of tests/golden/agent.
    assert drawn == ['turquoise', 'fiery orange', 'yellow', 'magenta', 'magenta']


def test_no_pixels_have_no_farthest_color() -> None:
    with pytest.raises(ValueError, match='at least one pixel'):
        farthest_color(np.zeros((0, 3), np.uint8))
