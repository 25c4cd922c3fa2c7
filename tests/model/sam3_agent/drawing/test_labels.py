"""Golden places of numbers: tests/golden/agent, of the public agent."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instructsam_model.masks import decode_rle
from instructsam_model.sam3_agent.drawing.labels import TextStyle, place_labels, to_pixels
from tests.support import GOLDEN

PURE = GOLDEN / 'agent' / 'pure'


def test_numbers_are_placed_as_recorded() -> None:
    cases = json.loads((PURE / 'labels.json').read_text())
    for case in cases:
        masks = [decode_rle({'size': case['size_hw'], 'counts': counts}) for counts in case['counts']]
        found = [{'start_xy': list(place.start_xy), 'final_xy': list(place.final_xy)} for place in place_labels(masks)]
        assert found == case['labels']
    assert len(cases) == 140


def test_sizes_follow_the_image_as_recorded() -> None:
    for case in json.loads((PURE / 'text_style.json').read_text())['sizes']:
        style = TextStyle.of(tuple(case['size_wh']))
        assert (style.font_size_pt, style.outline_width_pt) == (case['font_size_pt'], case['outline_width_pt'])


def test_points_are_those_of_100_dots_per_inch() -> None:
    assert to_pixels(72) == 100


def test_an_empty_mask_has_no_place() -> None:
    full, empty = np.ones((30, 40), bool), np.zeros((30, 40), bool)
    with pytest.raises(ValueError, match='expected at least one pixel, got an empty mask'):
        place_labels([full, empty])
