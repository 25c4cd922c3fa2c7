"""The overlay: what a person sees of a segmentation."""

from __future__ import annotations

import time
from itertools import combinations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from instructsam_model.datatypes import Instance, Instruction, Segmentation
from instructsam_model.draw import PALETTE_RGB, color_rgb, overlay

GRAY = 128


def gray_picture(width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GRAY, np.uint8)


def block(width: int, height: int, box: tuple[int, int, int, int], score: float = 0.9, label: str = 'box') -> Instance:
    """An instance that fills its box."""
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return Instance(mask, np.array(box, np.float32), score, label)


def found(
    width: int, height: int, *instances: Instance, instruction: str = 'the box', answer: str = 'box'
) -> Segmentation:
    return Segmentation(instances, Instruction(instruction), answer, (width, height))


def is_color(picture: NDArray[np.uint8], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    return (picture == np.array(color, np.uint8)).all(axis=2)


@pytest.mark.parametrize(('width', 'height'), [(1, 1), (64, 48), (48, 640), (640, 40), (320, 240), (3840, 2160)])
def test_every_size_of_picture_gets_an_overlay_of_its_own(width: int, height: int) -> None:
    image = gray_picture(width, height)
    box = (width // 4, height // 4, max(1, width // 2), max(1, height // 2))
    picture = overlay(image, found(width, height, block(width, height, box)))
    assert picture.dtype == np.uint8
    assert picture.shape == image.shape
    assert not np.shares_memory(picture, image)
    assert (picture != GRAY).any()
    assert (image == GRAY).all()


def test_read_only_and_sliced_pictures_are_drawn_on_as_well() -> None:
    wide = np.full((240, 640, 3), GRAY, np.uint8)
    image = wide[:, ::2]
    image.flags.writeable = False
    assert (overlay(image, found(320, 240)) == overlay(gray_picture(320, 240), found(320, 240))).all()


def test_only_the_object_is_tinted() -> None:
    ring = block(320, 240, (100, 60, 200, 160))
    ring.mask[90:130, 130:170] = False
    picture = overlay(gray_picture(320, 240), found(320, 240, ring))
    tint = picture[75, 150].astype(int)
    away_from_gray = np.sign(np.array(color_rgb(0)) - GRAY)
    assert (np.sign(tint - GRAY) == away_from_gray).all()
    assert (picture[100:120, 140:160] == GRAY).all(), 'the hole keeps its pixels'
    assert (picture[170:200] == GRAY).all(), 'the background keeps its pixels'
    for row, column in [(60, 199), (159, 110), (110, 100), (90, 150)]:
        assert is_color(picture, color_rgb(0))[row - 1 : row + 2, column - 1 : column + 2].any(), 'outlined, holes too'


def test_the_best_instance_lies_on_top() -> None:
    best, other = block(320, 240, (100, 60, 200, 160), 0.9), block(320, 240, (100, 60, 200, 160), 0.4)
    picture = overlay(gray_picture(320, 240), found(320, 240, best, other))
    assert is_color(picture, color_rgb(0))[110, 99:102].any()
    assert not is_color(picture, color_rgb(1))[110, 99:102].any()


def test_colors_are_stable_and_told_apart_by_the_color_blind() -> None:
    assert color_rgb(0) == color_rgb(0) == PALETTE_RGB[0]
    assert len({color_rgb(index) for index in range(14)}) == 14
    # Vienot, Brettel and Mollon (1999): what is left of linear RGB without long or without medium cones.
    protanopia = [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]
    deuteranopia = [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
    linear = (np.array(PALETTE_RGB, np.float32) / 255) ** 2.2
    for seen_as in (np.eye(3), protanopia, deuteranopia):
        seen = np.clip(linear @ np.array(seen_as, np.float32).T, 0, 1) ** (1 / 2.2)
        lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
        assert min(np.linalg.norm(one - other) for one, other in combinations(lab, 2)) > 15


@pytest.mark.parametrize('label', ['', 'mug', 'the tall blue mug that stands behind the other two on the left ' * 3])
@pytest.mark.parametrize(
    'box', [(0, 0, 8, 8), (312, 0, 320, 8), (0, 232, 8, 240), (312, 232, 320, 240), (0, 0, 320, 240)]
)
def test_the_tag_stays_whole_at_every_edge(box: tuple[int, int, int, int], label: str) -> None:
    middle = overlay(gray_picture(320, 240), found(320, 240, block(320, 240, (150, 100, 158, 108), label=label)))
    edge = overlay(gray_picture(320, 240), found(320, 240, block(320, 240, box, label=label)))

    def tag_area(picture: NDArray[np.uint8]) -> int:
        return int(is_color(cv2.morphologyEx(picture, cv2.MORPH_OPEN, np.ones((3, 3))), color_rgb(0)).sum())

    assert tag_area(edge) == pytest.approx(tag_area(middle), rel=0.1)


def test_a_long_label_does_not_push_the_score_out() -> None:
    image, label = gray_picture(320, 240), 'the tall blue mug that stands behind the other two on the left ' * 3
    sure, unsure = (found(320, 240, block(320, 240, (9, 99, 19, 109), score, label)) for score in (0.91, 0.34))
    assert (overlay(image, sure) != overlay(image, unsure)).any()


def test_tags_of_one_place_do_not_cover_each_other() -> None:
    instances = [block(640, 480, (300, 200, 340, 240), 0.9 - 0.1 * index, 'mug') for index in range(3)]
    picture = overlay(gray_picture(640, 480), found(640, 480, *instances))
    areas = [int(is_color(picture, color_rgb(index)).sum()) for index in range(3)]
    assert min(areas) > 0.7 * max(areas)


def test_the_strip_tells_question_and_answer() -> None:
    image = gray_picture(320, 240)
    plain = overlay(image, found(320, 240, answer='red mug'))
    for other in (found(320, 240, answer='box'), found(320, 240, answer='red mug', instruction='the mug')):
        differs = (overlay(image, other) != plain).any(axis=(1, 2))
        assert differs.any()
        assert not differs[:160].any(), 'the strip takes a third of the picture at most'


@pytest.mark.parametrize(
    'instruction', ['word ' * 800, 'two\nlines\tand a tab', 'die gr\u00fcne Tasse', '\u7ea2\u8272\u676f\u5b50']
)
def test_any_instruction_can_be_written(instruction: str) -> None:
    picture = overlay(gray_picture(64, 48), found(64, 48, instruction=instruction))
    assert (picture[32:] != GRAY).any()
    assert (picture[:32] == GRAY).all(), 'the strip leaves two thirds of the picture free'


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r'expected uint8 \(240, 320, 3\), got uint8 \(320, 240, 3\)'):
        overlay(gray_picture(240, 320), found(320, 240))


def test_ten_instances_at_720p_are_drawn_within_a_frame() -> None:
    boxes = [(120 * index, 200, 120 * index + 200, 450) for index in range(9)]
    instances = [block(1280, 720, box, 0.9 - 0.05 * index) for index, box in enumerate(boxes)]
    segmentation = found(1280, 720, *instances)
    image = gray_picture(1280, 720)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        overlay(image, segmentation)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1 / 30
