"""Which instance is which from image to image."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest

from instructsam_model import Instance
from instructsam_model.masks import tight_box
from instructsam_ros.inference.tracking import Tracker, TrackingOptions, crop

SIZE_HW = (120, 200)


def square(left: int, top: int = 50, side: int = 20, score: float = 0.9) -> Instance:
    mask = np.zeros(SIZE_HW, dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    box = tight_box(mask)
    assert box is not None
    return Instance(mask, box, score)


def make_tracker(**options: float) -> Tracker:
    numbers = itertools.count(1)
    return Tracker(lambda: str(next(numbers)), TrackingOptions(**options))


def ids(tracker: Tracker, *instances: Instance) -> list[str]:
    return [each.id for each in tracker.update(instances)]


def test_objects_keep_their_ids_when_scores_swap():
    tracker = make_tracker()
    assert ids(tracker, square(10), square(60)) == ['1', '2']
    assert ids(tracker, square(62), square(12)) == ['2', '1']


def test_update_changes_only_the_id():
    instance = square(10)
    [tracked] = make_tracker().update([instance])
    assert tracked.mask is instance.mask
    assert (tracked.score, tracked.label, tracked.id) == (0.9, '', '1')


def test_small_overlap_is_another_object():
    for min_iou, expected in ((0.3, ['1']), (0.4, ['2'])):
        tracker = make_tracker(min_iou=min_iou)
        ids(tracker, square(10))
        assert ids(tracker, square(20)) == expected  # 10 of 20 columns are shared: an IoU of 1/3


def test_object_can_be_missing_for_max_missed_images():
    for absent, expected in ((2, ['1']), (3, ['2'])):
        tracker = make_tracker(max_missed=2)
        ids(tracker, square(10))
        for _ in range(absent):
            assert ids(tracker) == []
        assert ids(tracker, square(10)) == expected


def test_crossing_objects_keep_their_ids():
    """They change places from one image to the next: without their velocities each would be taken for the other."""
    tracker = make_tracker()
    for step in range(20):
        left, right = 10 + 8 * step, 162 - 8 * step
        assert ids(tracker, square(left, top=50), square(right, top=54)) == ['1', '2']


def test_occluded_object_is_found_at_its_predicted_position():
    tracker = make_tracker()
    for step in range(5):
        ids(tracker, square(10 + 8 * step))
    for _ in range(3):
        ids(tracker)
    assert ids(tracker, square(10 + 8 * 8)) == ['1']


def test_assignment_is_globally_optimal():
    """The first new one overlaps both old ones; alone it would take the one that the second new one needs."""
    tracker = make_tracker()
    assert ids(tracker, square(10), square(26)) == ['1', '2']
    assert ids(tracker, square(19), square(33)) == ['1', '2']


def test_nested_objects_keep_their_ids():
    tracker = make_tracker()
    ids(tracker, square(10, 10, side=100), square(40, 40, side=20))
    assert ids(tracker, square(41, 41, side=20), square(11, 11, side=100)) == ['2', '1']


def test_empty_mask_has_no_id():
    nothing = Instance(np.zeros(SIZE_HW, dtype=np.bool_), np.array((0, 0, 5, 5), dtype=np.float32), 0.5)
    assert ids(make_tracker(), square(10), nothing) == ['1', '']


def test_image_size_can_change():
    tracker = make_tracker()
    ids(tracker, square(150))
    mask = np.zeros((30, 40), dtype=np.bool_)
    mask[5:10, 5:10] = True
    assert ids(tracker, Instance(mask, np.array((5, 5, 10, 10), dtype=np.float32), 0.5)) == ['2']


@pytest.mark.parametrize('shift', [(0, 0), (7, -3), (-30, 12), (500, 0)])
def test_subsampled_iou_is_accurate(shift: tuple[int, int]):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:720, :1280]
    masks = [
        (rows - y) ** 2 / a**2 + (columns - x) ** 2 / b**2 < 1
        for x, y, a, b in rng.uniform((500, 300, 150, 150), (700, 420, 300, 400), (2, 4))
    ]
    moved = np.zeros_like(masks[1])
    height, width = moved.shape
    dx, dy = shift
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = masks[1][
        max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)
    ]
    exact = np.count_nonzero(masks[0] & moved) / np.count_nonzero(masks[0] | moved)
    assert crop(masks[0]).iou(crop(masks[1]), np.array(shift)) == pytest.approx(exact, abs=0.02)


def best_of(count: int, action: Callable[[], object]) -> float:
    def timed_s() -> float:
        started_s = time.process_time()
        action()
        return time.process_time() - started_s

    return min(timed_s() for _ in range(count))


def test_tracking_twenty_large_objects_is_fast():
    rng = np.random.default_rng(0)
    instances = []
    for left, top in rng.integers((0, 0), (900, 500), (20, 2)):
        mask = np.zeros((1080, 1920), dtype=np.bool_)
        mask[top : top + 500, left : left + 900] = True
        instances.append(Instance(mask, np.array((left, top, left + 900, top + 500), dtype=np.float32), 0.5))
    tracker = make_tracker()
    tracker.update(instances)
    assert best_of(3, lambda: tracker.update(instances)) < 0.5
