"""`Prompt`: which instances its points and its region keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instructsam_model import Instance, Instruction, RequestError, Segmentation
from instructsam_model.masks import tight_box
from instructsam_ros.inference.prompt import PointXy, Prompt

SIZE_WH = (20, 10)


def instance(x1: int, y1: int, x2: int, y2: int, score: float) -> Instance:
    mask = np.zeros(SIZE_WH[::-1], dtype=np.bool_)
    mask[y1:y2, x1:x2] = True
    box_xyxy = tight_box(mask)
    assert box_xyxy is not None
    return Instance(mask, box_xyxy, score)


LEFT, MIDDLE, RIGHT = instance(0, 0, 4, 4, 0.9), instance(8, 2, 12, 8, 0.8), instance(16, 6, 20, 10, 0.7)
FOUND = Segmentation((LEFT, MIDDLE, RIGHT), Instruction('all'), '', SIZE_WH)


@pytest.mark.parametrize(
    ('points', 'region', 'kept'),
    [
        ((), None, (LEFT, MIDDLE, RIGHT)),
        (((3, 3),), None, (LEFT,)),
        (((3.4, 3.4),), None, (LEFT,)),  # the pixel (3, 3) reaches from 2.5 to 3.5
        (((3.6, 3),), None, ()),
        (((-0.5, -0.5),), None, (LEFT,)),
        (((19.4, 9.4),), None, (RIGHT,)),
        (((3, 3), (9, 5)), None, (LEFT, MIDDLE)),
        (((3, 3), (6, 5)), None, (LEFT,)),
        ((), (11, 0, 13, 10), (MIDDLE,)),
        ((), (12, 0, 16, 10), ()),  # between the boxes, whose ends are exclusive
        ((), (0, 0, 100, 100), (LEFT, MIDDLE, RIGHT)),
        (((3, 3), (9, 5)), (8, 0, 20, 10), (MIDDLE,)),
    ],
)
def test_instances_contain_a_point_and_overlap_the_region(
    points: tuple[PointXy, ...], region: tuple[int, int, int, int] | None, kept: tuple[Instance, ...]
) -> None:
    prompt = Prompt(points, region)
    prompt.check(SIZE_WH)
    selected, excluded = prompt.select(FOUND, 100)
    assert selected.instances == kept
    assert excluded == 3 - len(kept)


def test_limit_holds_for_those_that_fit() -> None:
    selected, excluded = Prompt(((9, 5), (17, 7))).select(FOUND, 1)
    assert (selected.instances, excluded, selected.truncated) == ((MIDDLE,), 1, True)


@pytest.mark.parametrize(
    ('points', 'region', 'said'),
    [
        (((3, math.nan),), None, r'prompt_points: expected finite pixel coordinates, got \(3, nan\)'),
        (((3, 3), (math.inf, 0)), None, r'got \(inf, 0\)'),
        (((20, 3), (5, 5)), None, r'prompt_points: expected points in the image of 20x10, got \(20, 3\)$'),
        (((5, -1),), None, r'got \(5, -1\)'),
        (((19.5, 0),), None, r'got \(19.5, 0\)'),
        (tuple((100 + number, 0) for number in range(8)), None, r'\(104, 0\) and 3 more'),
        ((), (5, 5, 5, 9), 'prompt_region: expected a width and a height of at least 1, got 0x4'),
        ((), (20, 0, 25, 5), 'prompt_region: expected a region in the image of 20x10, got x 20 to 25, y 0 to 5'),
        ((), (0, 10, 5, 15), 'y 10 to 15'),
    ],
)
def test_impossible_prompts_name_what_is_wrong(
    points: tuple[PointXy, ...], region: tuple[int, int, int, int] | None, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        Prompt(points, region).check(SIZE_WH)
