"""Which masks the model sees. Covers detections. The rules of the public code are a table of replay/test_main.py."""

from __future__ import annotations

import numpy as np
import pytest

from instructsam_model.sam3_agent.core.detections import Detections
from instructsam_model.sam3_agent.core.postprocess import iom_matrix, postprocess
from tests.support.scripted_host import SIZE_HW, boxes

SMALL, LARGE, APART, EMPTY = (4, 4, 10, 10), (2, 2, 30, 30), (40, 5, 50, 15), (0, 0, 0, 0)


def test_of_overlapping_masks_the_one_with_the_better_score_stays() -> None:
    found = boxes(LARGE, APART, SMALL, scores=[0.6, 0.7, 0.9])
    filtered = postprocess(found, strict=False)
    assert filtered.detections.scores.tolist() == pytest.approx([0.9, 0.7])
    assert (filtered.kept, filtered.removed) == ([1, 2], [0])


def test_intersections_are_relative_to_the_smaller_mask() -> None:
    iom = iom_matrix(boxes(LARGE, SMALL, APART, EMPTY))
    assert iom.dtype == np.float32
    assert iom.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_empty_masks_are_dropped_by_area_unless_strict() -> None:
    large_hw = (512, 1024)  # from here on the encoding of an empty mask has five characters
    empty = Detections.from_pixels(large_hw, [np.zeros(large_hw, bool)], np.zeros((1, 4), np.float32), [0.9])
    assert len(postprocess(empty, strict=True).detections) == 1
    assert len(postprocess(empty, strict=False).detections) == 0


@pytest.mark.parametrize(
    ('scores', 'message'),
    [([0.5], r'expected boxes \(2, 4\) and scores \(2,\)'), ([0.5, np.nan], 'expected finite')],
)
def test_detections_are_checked(scores: list[float], message: str) -> None:
    good = boxes(SMALL, APART)
    with pytest.raises(ValueError, match=message):
        Detections(SIZE_HW, good.masks, good.boxes_xywh, np.array(scores, np.float32))
    with pytest.raises(ValueError, match='expected masks of bool'):
        Detections((3, 3), good.masks, good.boxes_xywh, good.scores)
