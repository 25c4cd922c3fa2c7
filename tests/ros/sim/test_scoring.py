"""Answers beside the truth."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_model.masks import Mask, tight_box
from instructsam_ros.depth3d.oriented_box import OrientedBox
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample
from instructsam_ros.sim.scoring import Question, judge

SIZE_HW = (40, 60)
TABLE_M, BOX_M, BALL_M = 1.0, 0.8, 0.5


def block(rows: slice, columns: slice) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[rows, columns] = True
    return mask


BOX, BALL = block(slice(10, 20), slice(5, 20)), block(slice(10, 20), slice(40, 50))


@pytest.fixture
def moment() -> GroundTruthSample:
    """A box (1) and a nearer ball (2) before a table (0)."""
    depth_m = np.full(SIZE_HW, TABLE_M, dtype=np.float32)
    depth_m[BOX], depth_m[BALL] = BOX_M, BALL_M
    labels = np.zeros(SIZE_HW, dtype=np.uint16)
    labels[BOX], labels[BALL] = 1, 2
    intrinsics = np.array([[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]])
    boxes = {
        label: OrientedBox(np.array(center_m), np.eye(3), np.array((0.3, 0.2, 0.1)))
        for label, center_m in ((1, (0.0, 0.0, BOX_M)), (2, (0.1, 0.0, BALL_M)))
    }
    return GroundTruthSample(np.zeros((*SIZE_HW, 3), dtype=np.uint8), depth_m, intrinsics, labels, boxes)


def answer(*masks: Mask) -> Segmentation:
    instances = []
    for number, mask in enumerate(masks):
        box = tight_box(mask)
        assert box is not None
        instances.append(Instance(mask, box, 0.9 - 0.1 * number))
    return Segmentation(tuple(instances), Instruction('a'), '', SIZE_HW[::-1])


def asked(*targets: int) -> Question:
    return Question(1, 'category', 'a', targets)


def test_a_target_that_is_found_is_reached(moment: GroundTruthSample):
    result = judge(asked(1), answer(BOX), moment, latency_s=0.25)
    assert (result.iou, result.is_right, result.latency_s) == (1.0, True, 0.25)
    assert result.point_m is not None
    # The middle of the box's pixels is at column 12 and between rows 14 and 15.
    np.testing.assert_allclose(result.point_m, ((12 - 29.5) / 50 * BOX_M, (14.5 - 19.5) / 50 * BOX_M, BOX_M), rtol=1e-6)


def test_another_thing_is_not_the_target(moment: GroundTruthSample):
    result = judge(asked(1), answer(BALL), moment, 0.0)
    assert (result.iou, result.is_right) == (0.0, False)


def test_of_several_the_best_instance_counts_for_the_point_and_all_for_the_masks(moment: GroundTruthSample):
    both = judge(asked(1, 2), answer(BALL, BOX), moment, 0.0)
    assert (both.iou, both.is_right) == (1.0, True)
    wrong_first = judge(asked(1), answer(BALL, BOX), moment, 0.0)
    assert wrong_first.iou == pytest.approx(BOX.sum() / (BOX | BALL).sum())
    assert not wrong_first.is_right


def test_a_point_behind_the_target_is_not_on_it(moment: GroundTruthSample):
    # Mostly table around the box: the median looks at the box's pixels, and is as far away as the table.
    mask = block(slice(4, 26), slice(0, 26))
    result = judge(asked(1), answer(mask), moment, 0.0)
    assert result.point_m is not None
    assert result.point_m[2] == TABLE_M
    assert not result.is_right


@pytest.mark.parametrize(('row', 'column'), [(14, 21), (14, 3), (8, 12), (21, 12)])
def test_a_point_just_beside_the_target_is_on_it_and_one_further_away_is_not(
    moment: GroundTruthSample, row: int, column: int
):
    def is_right(row: int, column: int) -> bool:
        pixel = block(slice(row, row + 1), slice(column, column + 1))
        return judge(asked(1), answer(pixel), moment, 0.0).is_right

    moment.depth_m[...] = BOX_M
    assert is_right(row, column)
    further_row = row + (row > 20) - (row < 10)
    further_column = column + (column > 20) - (column < 5)
    assert not is_right(further_row, further_column)


def test_nothing_found(moment: GroundTruthSample):
    missed = judge(asked(1), answer(), moment, 0.0)
    assert (missed.iou, missed.point_m, missed.is_right) == (0.0, None, False)
    nothing_there = judge(asked(), answer(), moment, 0.0)
    assert (nothing_there.iou, nothing_there.is_right) == (1.0, True)
    false_alarm = judge(asked(), answer(BOX), moment, 0.0)
    assert (false_alarm.iou, false_alarm.is_right) == (0.0, False)


def test_the_box_is_compared_with_that_of_the_target(moment: GroundTruthSample):
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    box = OrientedBox(np.array((0.0, 0.03, BOX_M - 0.04)), turned, np.array((0.17, 0.3, 0.1)))
    error = judge(asked(1, 2), answer(BOX), moment, 0.0, box).box_error
    assert error is not None
    assert (error.center_m, error.size_m) == pytest.approx((0.05, 0.01))
    assert error.size_share == pytest.approx(0.05)
    assert judge(asked(1), answer(BALL), moment, 0.0, box).box_error is None, 'of another thing'
    assert judge(asked(1), answer(BOX), moment, 0.0).box_error is None, 'there is none'


def test_a_mask_without_depth_has_no_point(moment: GroundTruthSample):
    moment.depth_m[BOX] = np.nan
    result = judge(asked(1), answer(BOX), moment, 0.0)
    assert (result.iou, result.point_m, result.is_right) == (1.0, None, False)
