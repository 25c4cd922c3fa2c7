"""Results compared with the ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model import Instance, Instruction, Segmentation
from instructsam_model.masks import Mask, tight_box
from instructsam_ros.messages.camera_model import CameraModel
from instructsam_ros.messages.oriented_box import OrientedBox
from instructsam_ros.sim.ground_truth_sync import GroundTruthSample
from instructsam_ros.sim.scoring import Query, score

SIZE_HW = (40, 60)
TABLE_M, BOX_M, BALL_M = 1.0, 0.8, 0.5


def block(rows: slice, columns: slice) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[rows, columns] = True
    return mask


BOX, BALL = block(slice(10, 20), slice(5, 20)), block(slice(10, 20), slice(40, 50))


@pytest.fixture
def sample() -> GroundTruthSample:
    """A box (1) and a closer ball (2) in front of a table (0)."""
    depth_m = np.full(SIZE_HW, TABLE_M, dtype=np.float32)
    depth_m[BOX], depth_m[BALL] = BOX_M, BALL_M
    labels = np.zeros(SIZE_HW, dtype=np.uint16)
    labels[BOX], labels[BALL] = 1, 2
    camera = CameraModel(np.array([[50.0, 0, 29.5], [0, 50.0, 19.5], [0, 0, 1]]), SIZE_HW[::-1])
    boxes = {
        label: OrientedBox(np.array(center_m), np.eye(3), np.array((0.3, 0.2, 0.1)))
        for label, center_m in ((1, (0.0, 0.0, BOX_M)), (2, (0.1, 0.0, BALL_M)))
    }
    return GroundTruthSample(np.zeros((*SIZE_HW, 3), dtype=np.uint8), depth_m, camera, labels, boxes)


def segment(*masks: Mask) -> Segmentation:
    instances = []
    for number, mask in enumerate(masks):
        box = tight_box(mask)
        assert box is not None
        instances.append(Instance(mask, box, 0.9 - 0.1 * number))
    return Segmentation(tuple(instances), Instruction('a'), '', SIZE_HW[::-1])


def query_for(*targets: int) -> Query:
    return Query(1, 'category', 'a', targets)


def test_correct_mask_has_iou_1_and_its_point_on_the_target(sample: GroundTruthSample):
    result = score(query_for(1), segment(BOX), sample, latency_s=0.25)
    assert (result.iou, result.is_correct, result.latency_s) == (1.0, True, 0.25)
    assert result.point_m is not None
    # The center of the box's pixels is at column 12 and between rows 14 and 15.
    np.testing.assert_allclose(result.point_m, ((12 - 29.5) / 50 * BOX_M, (14.5 - 19.5) / 50 * BOX_M, BOX_M), rtol=1e-6)


def test_mask_of_another_object_is_incorrect(sample: GroundTruthSample):
    result = score(query_for(1), segment(BALL), sample, 0.0)
    assert (result.iou, result.is_correct) == (0.0, False)


def test_point_is_of_the_best_instance_and_iou_of_all_instances(sample: GroundTruthSample):
    both = score(query_for(1, 2), segment(BALL, BOX), sample, 0.0)
    assert (both.iou, both.is_correct) == (1.0, True)
    wrong_best = score(query_for(1), segment(BALL, BOX), sample, 0.0)
    assert wrong_best.iou == pytest.approx(BOX.sum() / (BOX | BALL).sum())
    assert not wrong_best.is_correct


def test_point_behind_the_target_is_not_on_it(sample: GroundTruthSample):
    # Mostly table around the box: the median point projects onto the box but has the depth of the table.
    mask = block(slice(4, 26), slice(0, 26))
    result = score(query_for(1), segment(mask), sample, 0.0)
    assert result.point_m is not None
    assert result.point_m[2] == TABLE_M
    assert not result.is_correct


@pytest.mark.parametrize(('row', 'column'), [(14, 21), (14, 3), (8, 12), (21, 12)])
def test_point_is_on_the_target_within_the_pixel_tolerance(sample: GroundTruthSample, row: int, column: int):
    def is_correct(row: int, column: int) -> bool:
        pixel = block(slice(row, row + 1), slice(column, column + 1))
        return score(query_for(1), segment(pixel), sample, 0.0).is_correct

    sample.depth_m[...] = BOX_M
    assert is_correct(row, column)
    further_row = row + (row > 20) - (row < 10)
    further_column = column + (column > 20) - (column < 5)
    assert not is_correct(further_row, further_column)


def test_result_without_instances(sample: GroundTruthSample):
    missed = score(query_for(1), segment(), sample, 0.0)
    assert (missed.iou, missed.point_m, missed.is_correct) == (0.0, None, False)
    true_negative = score(query_for(), segment(), sample, 0.0)
    assert (true_negative.iou, true_negative.is_correct) == (1.0, True)
    false_positive = score(query_for(), segment(BOX), sample, 0.0)
    assert (false_positive.iou, false_positive.is_correct) == (0.0, False)


def test_box_error_is_relative_to_the_nearest_target(sample: GroundTruthSample):
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    box = OrientedBox(np.array((0.0, 0.03, BOX_M - 0.04)), turned, np.array((0.17, 0.3, 0.1)))
    error = score(query_for(1, 2), segment(BOX), sample, 0.0, box).box_error
    assert error is not None
    assert (error.center_m, error.size_m) == pytest.approx((0.05, 0.01))
    assert error.size_fraction == pytest.approx(0.05)
    assert score(query_for(1), segment(BALL), sample, 0.0, box).box_error is None, 'the instance is another object'
    assert score(query_for(1), segment(BOX), sample, 0.0).box_error is None, 'the instance has no 3D box'


def test_mask_without_depth_has_no_target_point(sample: GroundTruthSample):
    sample.depth_m[BOX] = np.nan
    result = score(query_for(1), segment(BOX), sample, 0.0)
    assert (result.iou, result.point_m, result.is_correct) == (1.0, None, False)
