"""Golden crops and sizes: tests/golden/agent, of the public agent, which draws with matplotlib. Covers panels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instructsam_model.masks import decode_rle
from instructsam_model.sam3_agent.drawing.panels import lay_out
from instructsam_model.sam3_agent.drawing.zoom import zoom_view
from tests.support import GOLDEN

CASES = json.loads((GOLDEN / 'agent' / 'pure' / 'zoom.json').read_text())


def test_crops_colors_and_sizes_are_the_recorded_ones() -> None:
    assert len(CASES) == 48
    for case in CASES:
        mask = decode_rle({'size': case['size_hw'], 'counts': case['counts']})
        image = np.full((*mask.shape, 3), case['background_rgb'], np.uint8)
        image[mask] = case['mask_rgb']
        view = zoom_view(image, mask)
        assert view.box_xyxy == tuple(case['mask_bbox_xyxy'])
        assert view.context_box_xyxy == tuple(case['context_box_xyxy'])
        assert view.zoom_box_xyxy == tuple(case['zoom_box_xyxy'])
        assert view.color.hex == case['colour']
        layout = lay_out(view.context_size_wh, view.zoom_size_wh, side_by_side=view.side_by_side)
        assert (view.side_by_side, list(layout.size_wh)) == (case['side_by_side'], case['picture_size'])


@pytest.mark.parametrize('side_by_side', [True, False])
def test_crops_are_drawn_within_the_drawing_without_overlap(side_by_side: bool) -> None:
    layout = lay_out((100, 60), (30, 90), side_by_side=side_by_side)
    first, second = layout.panels
    for panel, aspect in ((first, 100 / 60), (second, 30 / 90)):
        assert panel.x >= 0
        assert panel.y >= 0
        assert panel.x + panel.width < layout.size_wh[0] + 1
        assert panel.y + panel.height < layout.size_wh[1] + 1
        assert panel.width / panel.height == pytest.approx(aspect)
    if side_by_side:
        assert first.x + first.width < second.x
    else:
        assert first.y + first.height < second.y


def test_a_crop_of_one_row_has_a_drawing() -> None:
    assert min(lay_out((4000, 1), (4000, 1), side_by_side=False).size_wh) >= 1


def test_masks_that_cannot_be_enlarged_are_refused() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match='empty mask'):
        zoom_view(image, np.zeros((20, 30), bool))
    with pytest.raises(ValueError, match='the size of the image'):
        zoom_view(image, np.ones((30, 20), bool))
