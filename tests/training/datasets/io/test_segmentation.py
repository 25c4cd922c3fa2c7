"""Instances and boxes of raw releases as run-length encodings."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model.masks import decode_rle
from instructsam_training.datasets.io.segmentation import box_rle, clip_box, instance_rle

SIZE_HW = (4, 6)
LEFT = {'size': [4, 6], 'counts': [0, 4, 20]}
RIGHT = {'size': [4, 6], 'counts': [20, 4]}


def columns(*wanted: int) -> np.ndarray:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[:, list(wanted)] = True
    return mask


@pytest.mark.parametrize(
    ('segmentation', 'expected'),
    [
        pytest.param(LEFT, columns(0), id='RLE'),
        pytest.param([LEFT, RIGHT], columns(0, 5), id='list of RLEs, as RefCLEF has them'),
        pytest.param([[0, 0, 2, 0, 2, 4, 0, 4]], columns(0, 1), id='polygon'),
        pytest.param([[0, 0, 1, 0, 1, 4, 0, 4], [5, 0, 6, 0, 6, 4, 5, 4]], columns(0, 5), id='two parts'),
        pytest.param([[0, 0, 2, 0, 2, 4, 0, 4], [1, 1, 3, 3]], columns(0, 1), id='a line, as PartImageNet has them'),
    ],
)
def test_all_forms_of_an_instance(segmentation: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_rle(instance_rle(segmentation, SIZE_HW)), expected)


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[0, 0, 2, 2]], 'at least three points'),
        ([], 'at least three points'),
        (None, 'expected an RLE'),
        ([[0, 0, 1, 0, 1]], 'at least three points'),
        ([[0, 0, 2, 0, 2, 2, 1]], 'at least three points'),
        ({'size': [4, 6], 'counts': [24]}, 'at least one pixel'),
        ({'size': [6, 4], 'counts': [24]}, 'RLE size: expected the size of the'),
        ({'size': [4, 6], 'counts': 'P`'}, 'RLE counts'),
    ],
)
def test_damaged_instances(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        instance_rle(segmentation, SIZE_HW)


@pytest.mark.parametrize(
    ('box_xywh', 'rows', 'columns'),
    [
        pytest.param([1, 1, 2, 2], slice(1, 3), slice(1, 3), id='inside'),
        pytest.param([-3, -3, 5, 5], slice(0, 2), slice(0, 2), id='over the upper left corner'),
        pytest.param([4, 2, 9, 9], slice(2, 4), slice(4, 6), id='over the lower right corner'),
        pytest.param([0, 0, 6, 4], slice(0, 4), slice(0, 6), id='the whole image'),
        pytest.param([0.6, 1.4, 2.0, 1.0], slice(1, 2), slice(1, 3), id='edges at the nearest pixels'),
        pytest.param([2.1, 1.1, 0.2, 0.2], slice(1, 2), slice(2, 3), id='thinner than a pixel'),
        pytest.param([5.9, 3.9, 3, 3], slice(3, 4), slice(5, 6), id='a sliver in the corner'),
    ],
)
def test_filled_boxes(box_xywh: list[float], rows: slice, columns: slice) -> None:
    expected = np.zeros(SIZE_HW, dtype=bool)
    expected[rows, columns] = True
    np.testing.assert_array_equal(decode_rle(box_rle(box_xywh, SIZE_HW)), expected)


@pytest.mark.parametrize(
    ('box', 'message'),
    [
        ([6, 0, 2, 2], 'expected a part of the 6x4 image'),
        ([0, 0, 0, 2], 'expected a part'),
        ([0, 0, 1], 'four numbers'),
        ([0, 0, 1, float('nan')], 'four numbers'),
        ([0, 0, 1, 10**400], 'four numbers'),
        ('left', 'four numbers'),
        (None, 'four numbers'),
    ],
)
def test_invalid_boxes(box: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_rle(box, SIZE_HW)


def test_boxes_are_clipped_to_the_image() -> None:
    assert clip_box([-1.5, 1, 99, 3.5], SIZE_HW) == (0.0, 1.0, 6.0, 3.5)
