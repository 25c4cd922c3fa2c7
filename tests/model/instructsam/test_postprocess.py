"""Instance slots to instances: selection, order, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from instructsam_model import Instance, Selection
from instructsam_model.instructsam import postprocess
from instructsam_model.instructsam.postprocess import RESIZE_BATCH, read_packed, read_selected, select_instances
from instructsam_model.instructsam.prediction import Prediction

FAR = 50.0


def prediction(scores: list[list[float]], mask_logits: torch.Tensor | None = None) -> Prediction:
    """P phrases with K slots; by default slot i is a 2x2 square at row 0, column 2i of an 8x(2PK) grid."""
    count, queries = len(scores), len(scores[0])
    if mask_logits is None:
        mask_logits = torch.full((count * queries, 8, 2 * count * queries), -FAR)
        for slot in range(count * queries):
            mask_logits[slot, :2, 2 * slot : 2 * slot + 2] = FAR
        mask_logits = mask_logits.unflatten(0, (count, queries))
    nothing, boxes = torch.zeros(0), torch.zeros(1, count, queries, 4)
    logits = torch.tensor(scores, dtype=torch.float64).logit().float()
    phrases = tuple(f'phrase {index}' for index in range(count))
    return Prediction(mask_logits, logits, boxes, *[nothing] * 4, phrases)


def select(made: Prediction, size_wh: tuple[int, int], selection: Selection) -> tuple[Instance, ...]:
    return select_instances(made, size_wh, selection)[0]


def test_instances_are_sorted_by_score_and_labeled_with_their_phrase() -> None:
    instances = select(prediction([[0.6, 0.1], [0.2, 0.9]]), (8, 8), Selection(min_score=0.5))
    assert [instance.label for instance in instances] == ['phrase 1', 'phrase 0']
    assert [instance.score for instance in instances] == pytest.approx([0.9, 0.6])
    assert [instance.box_xyxy.tolist() for instance in instances] == [[6, 0, 8, 2], [0, 0, 2, 2]]


def test_score_must_be_above_the_threshold() -> None:
    assert len(select(prediction([[0.5, 0.51]]), (4, 8), Selection(min_score=0.5))) == 1


def test_number_of_instances_is_limited() -> None:
    scores = [[0.9 - 0.01 * slot for slot in range(3 * RESIZE_BATCH)]]
    instances = select(prediction(scores), (6 * RESIZE_BATCH, 8), Selection(max_instances=RESIZE_BATCH + 3))
    assert [instance.score for instance in instances] == pytest.approx(scores[0][: RESIZE_BATCH + 3])


def test_slot_with_an_empty_mask_is_dropped() -> None:
    assert select(prediction([[0.9]], torch.full((1, 1, 4, 4), -FAR)), (8, 8), Selection()) == ()


def test_prediction_without_phrases_has_no_instances() -> None:
    empty = prediction([[0.9]])
    boxes = empty.refined_xyxy[:, :0]
    none = Prediction(empty.mask_logits[:0], empty.score_logits[:0], boxes, *[torch.zeros(0)] * 4)
    assert select(none, (8, 8), Selection()) == ()


@pytest.mark.parametrize(('threshold', 'columns'), [(0.0, 4), (0.25, 3), (0.5, 2), (0.9, 1), (1.0, 0)])
def test_mask_threshold_is_a_probability(threshold: float, columns: int) -> None:
    logits = torch.tensor([0.95, 0.6, 0.3, 0.1]).logit().expand(1, 1, 4, 4)
    instances = select(prediction([[0.9]], logits), (4, 4), Selection(mask_threshold=threshold))
    assert sum(int(instance.mask[0].sum()) for instance in instances) == columns


def test_masks_are_resized_as_logits() -> None:
    """Bilinear between +1 and -3: the border is a quarter of the way, not in the middle as for binary masks."""
    logits = torch.tensor([[1.0, -3.0]]).expand(1, 1, 2, 2)
    (instance,) = select(prediction([[0.9]], logits), (400, 2), Selection())
    assert abs(int(instance.mask[0].sum()) - 150) <= 1
    assert instance.mask.dtype == np.bool_


def test_masks_of_half_precision_are_resized_in_full_precision() -> None:
    """Between 2.0 and 2.5, bfloat16 has 32 steps; the border of probability 0.9 lies between two of them."""
    logits = torch.tensor([[2.5, 2.0]]).expand(1, 1, 2, 2)
    masks = [
        select(prediction([[0.9]], each), (8000, 2), Selection(mask_threshold=0.9))[0].mask
        for each in (logits, logits.bfloat16())
    ]
    assert np.array_equal(*masks)


@pytest.mark.parametrize(
    ('scores', 'max_instances', 'is_truncated'),
    [
        ([[0.9, 0.8, 0.1]], 20, False),
        ([[0.9, 0.8, 0.7]], 20, True),  # all slots
        ([[0.9, 0.8, 0.1]], 2, False),
        ([[0.9, 0.8, 0.1]], 1, True),  # more than max_instances
        ([[0.9, 0.8, 0.1], [0.9, 0.1, 0.1]], 3, False),
        ([[0.9, 0.8, 0.1], [0.9, 0.8, 0.7]], 20, True),  # all slots of one of the phrases
        ([[0.9, 0.8, 0.1], [0.9, 0.8, 0.7]], 1, True),  # the same, with a limit
        ([[0.1]], 1, False),
    ],
)
def test_result_that_may_not_be_complete_is_truncated(
    scores: list[list[float]], max_instances: int, is_truncated: bool
) -> None:
    instances, truncated = select_instances(prediction(scores), (24, 8), Selection(max_instances=max_instances))
    assert truncated is is_truncated
    assert len(instances) == min(sum(score > 0.5 for phrase in scores for score in phrase), max_instances)


def overlapping() -> Prediction:
    """Rows of 10, 9, 5 and 8 pixels on each other, of one phrase, and the first one of another."""
    logits = torch.full((2, 4, 1, 10), -FAR)
    for slot, columns in enumerate((slice(0, 10), slice(0, 9), slice(0, 5), slice(1, 9))):
        logits[0, slot, 0, columns] = FAR
    logits[1] = logits[0]
    return prediction([[0.9, 0.8, 0.7, 0.95], [0.6, 0.1, 0.1, 0.1]], logits)


@pytest.mark.parametrize(
    ('max_mask_iou', 'expected'),
    [
        (1.0, [0.95, 0.9, 0.8, 0.7, 0.6]),
        # 8 of 10 and 8 of 9 pixels: the first two of the list are duplicates of the last, the five are not.
        (0.75, [0.95, 0.7, 0.6]),
        # The nine pixels are a duplicate of eight, the ten are not: 8 of 10 is not above.
        (0.8, [0.95, 0.9, 0.7, 0.6]),
        (0.0, [0.95, 0.6]),
    ],
)
@pytest.mark.parametrize('read', [read_selected, read_packed])
def test_duplicates_of_a_phrase_are_dropped(
    monkeypatch: pytest.MonkeyPatch, read: object, max_mask_iou: float, expected: list[float]
) -> None:
    monkeypatch.setattr(postprocess, 'read_selected', read)
    instances, truncated = select_instances(overlapping(), (10, 1), Selection(), max_mask_iou)
    assert [instance.score for instance in instances] == pytest.approx(expected)
    assert truncated  # all queries of the first phrase are used, if only by duplicates
    areas = {0.95: 8, 0.9: 10, 0.8: 9, 0.7: 5, 0.6: 10}
    assert [int(instance.mask.sum()) for instance in instances] == [areas[score] for score in expected]


def test_places_of_duplicates_go_to_other_instances() -> None:
    instances, _ = select_instances(overlapping(), (10, 1), Selection(max_instances=2), 0.75)
    assert [instance.score for instance in instances] == pytest.approx([0.95, 0.7])


@pytest.mark.parametrize('selection', [Selection(max_instances=1), Selection(min_score=0.0), Selection(min_score=0.95)])
def test_both_ways_to_read_masks_give_the_same(selection: Selection) -> None:
    made = prediction([[0.9, 0.2, 0.6], [0.8, 0.7, 0.1]])
    (slots, masks), (packed_slots, packed_masks) = (
        read(made, (12, 8), selection) for read in (read_selected, read_packed)
    )
    assert slots == packed_slots
    count = min(len(slots), selection.max_instances)
    for mask, packed in zip([*masks][:count], [*packed_masks][:count], strict=True):
        assert np.array_equal(mask, packed)
