"""Drawings of the agent. Covers marks.py, zoom_pair.py and regions.py.

Golden images are those of tests/golden/agent: recorded sizes and colors.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_model.image_io import read_image
from instructsam_model.masks import Mask, decode_rle
from instructsam_model.sam3_agent.core.actions import Rendered, RenderFailed
from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.messages import View, ViewKind
from instructsam_model.sam3_agent.drawing.colors import PALETTE, farthest_color
from instructsam_model.sam3_agent.drawing.labels import place_labels
from instructsam_model.sam3_agent.drawing.marks import draw_marks
from instructsam_model.sam3_agent.drawing.render import Renderer
from tests.support import GOLDEN

AGENT = GOLDEN / 'agent'
SCENE = read_image(AGENT / 'inputs' / 'scene_a.png')
GRAY = np.full((240, 320, 3), 100, np.uint8)


def square(left: int, top: int, side: int) -> Mask:
    mask = np.zeros((240, 320), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def ring() -> Mask:
    mask = square(20, 20, 100)
    mask[50:90, 50:90] = False
    return mask


def detections(*masks: Mask) -> Detections:
    count = len(masks)
    return Detections((240, 320), masks, np.zeros((count, 4), np.float32), np.ones(count, np.float32))


def drawn(kind: ViewKind, masks: Detections, index: int | None = None) -> tuple[NDArray[np.uint8], ...]:
    rendered = Renderer().render(GRAY, View(kind, masks, index))
    assert isinstance(rendered, Rendered)
    return rendered.images


def blend(color: tuple[int, int, int], opacity: float) -> NDArray[np.float64]:
    return np.array(color) * opacity + 100 * (1 - opacity)


def test_a_mask_is_filled_and_outlined_and_its_hole_stays_clear() -> None:
    [image] = drawn('masks', detections(ring()))
    [number] = place_labels([ring()])
    assert image[70, 70].tolist() == [100, 100, 100]  # the hole
    assert image[200, 300].tolist() == [100, 100, 100]
    rgb = tuple(image[20, 70].tolist())  # the outer contour, alone in its row
    assert rgb in {color.rgb for color in PALETTE}
    np.testing.assert_allclose(image[105, 110], blend(rgb, 0.15), atol=1)
    assert tuple(image[50, 70].tolist()) == rgb or tuple(image[49, 70].tolist()) == rgb  # the contour of the hole
    # The number is on its box, below its place: neither the fill nor the color of the mask.
    x, y = number.final_xy
    assert not (np.abs(image[y + 3, x - 7].astype(int) - blend(rgb, 0.15)).max() <= 2)


def test_numbers_are_drawn_over_all_masks_and_count_from_one() -> None:
    masks = [square(40, 40, 60), square(45, 45, 55)]
    both = drawn('masks', detections(*masks))[0]
    renumbered = draw_marks(GRAY, masks, PALETTE[:2], numbers=(7, 8))
    counted = draw_marks(GRAY, masks, PALETTE[:2])
    assert (renumbered != counted).any()
    assert both.shape == GRAY.shape
    assert (GRAY == 100).all()


def test_single_mask_and_zoom_pair_share_a_color_and_have_the_recorded_size() -> None:
    run = json.loads((AGENT / 'transcripts' / '10_examine_twice.json').read_text())
    counts = next(event['content'] for event in run['events'] if event['event'] == 'sam3_file')['pred_masks']
    masks = [decode_rle({'size': [240, 320], 'counts': text}) for text in counts]
    checks = [event['messages'][1]['content'] for event in run['events'] if event.get('kind') == 'check']
    for index, parts in enumerate(checks[: len(masks)]):
        rendered = Renderer.strict().render(SCENE, View('mask', detections(*masks), index))
        assert isinstance(rendered, Rendered)
        sizes = [part['size_wh'] for part in parts if part['type'] == 'image'][1:]
        assert [[image.shape[1], image.shape[0]] for image in rendered.images] == sizes
        rows, columns = np.nonzero(masks[index])
        color = farthest_color(SCENE[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
        for image in rendered.images:
            assert (image == color.rgb).all(axis=2).sum() > 40


def test_zoom_pair_shows_the_box_in_the_surroundings_and_the_mask_enlarged() -> None:
    [pair] = drawn('zoom', detections(square(150, 100, 20)), 0)
    half = pair.shape[0] // 2
    color = farthest_color(GRAY[:1, :1]).rgb
    filled = (np.abs(pair.astype(int) - blend(color, 0.15)).max(axis=2) <= 2).sum(axis=1)
    assert filled[:half].sum() == 0
    assert filled[half:].max() > 80  # 20 pixels of the image, enlarged
    boxed = (np.abs(pair[:half].astype(int) - blend(color, 0.8)).max(axis=2) <= 3).sum()
    assert boxed > 100


def test_strict_colors_are_drawn_at_random_and_others_are_not() -> None:
    view = View('masks', detections(square(40, 40, 60), square(150, 40, 60)))
    strict = Renderer.strict()
    first, second = (strict.render(GRAY, view).images[0] for _ in range(2))  # type: ignore[union-attr]
    assert (first != second).any()
    again = [Renderer().render(GRAY, view).images[0] for _ in range(2)]  # type: ignore[union-attr]
    np.testing.assert_array_equal(again[0], again[1])


def test_no_masks_show_the_image_itself() -> None:
    np.testing.assert_array_equal(drawn('masks', detections())[0], GRAY)


@pytest.mark.parametrize(('kind', 'index'), [('masks', None), ('mask', 0)])
def test_an_empty_mask_cannot_be_drawn(kind: ViewKind, index: int | None) -> None:
    empty = detections(np.zeros((240, 320), bool))
    failed = Renderer().render(GRAY, View(kind, empty, index))
    assert isinstance(failed, RenderFailed)
    assert failed.exception == 'ValueError'
    assert 'empty mask' in failed.error


@pytest.mark.parametrize('size_hw', [(1, 1), (2, 300), (6, 8), (1080, 1920)])
def test_images_of_any_size_are_drawn(size_hw: tuple[int, int]) -> None:
    image = np.zeros((*size_hw, 3), np.uint8)
    mask = np.zeros(size_hw, bool)
    mask[-1, -1] = True
    one = Detections(size_hw, (mask,), np.zeros((1, 4), np.float32), np.ones(1, np.float32))
    rendered = Renderer().render(image, View('mask', one, 0))
    assert isinstance(rendered, Rendered)
    assert rendered.images[0].shape == image.shape
