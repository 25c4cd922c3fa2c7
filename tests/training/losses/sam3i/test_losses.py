"""The detector losses of SAM3-I: what each query and each prompt contributes.

The values of the public code are compared by `python -m instructsam_training.parity`.

Covers losses/sam3i/detection.py, losses/sam3i/matching.py, losses/sam3i/targets.py and losses/sam3i/boxes.py.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from instructsam_model.sam3i.network import Prediction
from instructsam_training.config.sam3i_options import Sam3ILossOptions
from instructsam_training.losses.sam3i.losses import detector_losses, sum_by_name
from instructsam_training.losses.sam3i.matching import match
from instructsam_training.losses.sam3i.targets import InstructionTargets

SIDE = 8
LEFT, RIGHT = (0.25, 0.5, 0.5, 1.0), (0.75, 0.5, 0.5, 1.0)
"""Boxes of both halves of the image, center and size."""
OPTIONS = Sam3ILossOptions()
WITHOUT_MANY = replace(OPTIONS, one_to_many=0.0)


def make_targets(*boxes_of_prompts: tuple[tuple[float, ...], ...]) -> InstructionTargets:
    boxes = [box for boxes in boxes_of_prompts for box in boxes]
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for row, box in enumerate(boxes):
        start = round((box[0] - box[2] / 2) * SIDE)
        masks[row, :, start : start + round(box[2] * SIDE)] = True
    return InstructionTargets(
        tuple(map(len, boxes_of_prompts)), torch.tensor(boxes, dtype=torch.float32).view(-1, 4), masks
    )


def make_prediction(boxes: Tensor, scores: Tensor, presence: Tensor, masks: Tensor, region: Tensor) -> Prediction:
    """Two layers with the same outputs."""
    states = torch.zeros(2, *scores.shape, 1)
    return Prediction(scores.repeat(2, 1, 1), boxes.repeat(2, 1, 1, 1), presence.repeat(2, 1), masks, region, states)


def perfect(targets: InstructionTargets, queries: int) -> Prediction:
    """The first queries are the instances of the prompt, the others are sure to be none."""
    prompts = len(targets.counts)
    boxes = torch.tensor([0.5, 0.5, 0.1, 0.1]).repeat(prompts, queries, 1)
    scores = torch.full((prompts, queries), -20.0)
    masks = torch.full((prompts, queries, SIDE, SIDE), -20.0)
    for prompt, (start, count) in enumerate(zip(targets.starts(), targets.counts, strict=True)):
        rows = slice(start, start + count)
        boxes[prompt, :count] = targets.boxes_cxcywh[rows]
        scores[prompt, :count] = 20.0
        masks[prompt, :count] = 40 * targets.masks[rows].float() - 20
    presence = torch.tensor([20.0 if count else -20.0 for count in targets.counts])
    return make_prediction(boxes, scores, presence, masks, 40 * targets.unions().float() - 20)


def test_perfect_answer_has_no_loss() -> None:
    targets = make_targets((LEFT, RIGHT), (), (RIGHT,))
    losses = detector_losses(perfect(targets, 5), targets, WITHOUT_MANY, divisor=3)
    assert {name: round(float(term), 4) for name, term in losses.terms.items() if term > 1e-4} == {}
    # Instances in order, each with its query.
    [*_, last] = losses.matching.one_to_one
    assert [each.tolist() for each in (last.prompt, last.query, last.instance)] == [[0, 0, 2], [0, 1, 0], [0, 1, 2]]


def test_prompt_without_an_instance_trains_its_presence_alone() -> None:
    targets = make_targets((), (LEFT,))
    prediction = perfect(targets, 4)
    prediction.score_logits[:, 0] = 5.0
    prediction.mask_logits[0] = 5.0
    prediction.region_logits[0] = 5.0
    prediction.presence_logits[:, 0] = 2.0
    losses = sum_by_name(detector_losses(prediction, targets, WITHOUT_MANY, divisor=1).terms)
    # Half the cross entropy of both layers, averaged over two prompts.
    assert losses['presence'].item() == pytest.approx(math.log(1 + math.exp(2.0)) / 2, abs=1e-4)
    assert all(term < 1e-4 for name, term in losses.items() if name != 'presence')


def test_batch_without_any_instance_is_finite_and_trains() -> None:
    targets = make_targets((), ())
    prediction = perfect(targets, 4)
    prediction = replace(prediction, presence_logits=prediction.presence_logits.clone().requires_grad_(True))
    losses = detector_losses(prediction, targets, OPTIONS, divisor=1)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert torch.isfinite(prediction.presence_logits.grad).all()


def test_sums_over_instances_are_divided_and_the_total_grows_with_the_root_of_the_prompts() -> None:
    targets = make_targets((LEFT,), (RIGHT,))
    prediction = perfect(targets, 4)
    prediction.boxes_cxcywh[:, :, 0, 0] += 0.1
    one, two = (detector_losses(prediction, targets, WITHOUT_MANY, divisor) for divisor in (1, 2))
    # Two instances, each 0.1 off.
    assert one.terms['box_l1'] == pytest.approx(0.2)
    assert two.terms['box_l1'] == pytest.approx(0.1)
    weighted = sum(getattr(OPTIONS, name.split()[0]) * float(term) for name, term in one.terms.items())
    assert one.total.item() == pytest.approx(math.sqrt(2) * weighted)


def test_one_to_many_queries_are_matched_by_quality_and_one_query_may_have_two_instances() -> None:
    """All but one box are far away; the whole image overlaps both halves by one half, with a score near 1."""
    targets = make_targets((LEFT, RIGHT))
    boxes = torch.tensor([0.02, 0.02, 0.01, 0.01]).repeat(2, 1, 12, 1)
    scores = torch.full((2, 1, 12), -9.0)
    boxes[:, :, 7] = torch.tensor([0.5, 0.5, 1.0, 1.0])
    scores[:, :, 7] = 9.0
    matching = match(scores, boxes, targets, scores, boxes)
    # Before the last layer one to one, in the last one to many: 0.3 * 1 + 0.7 * 0.5 is above 0.4.
    earlier, last = matching.one_to_many
    assert len(earlier) == 2
    assert [each.tolist() for each in (last.prompt, last.query, last.instance)] == [[0, 0], [7, 7], [0, 1]]
    scores[:, :, 7] = -9.0
    assert len(match(scores, boxes, targets, scores, boxes).one_to_many[-1]) == 0


def test_outputs_that_are_not_finite_cannot_be_matched() -> None:
    targets = make_targets((LEFT,))
    prediction = perfect(targets, 4)
    prediction.boxes_cxcywh[0, 0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match='diverged'):
        detector_losses(prediction, targets, WITHOUT_MANY, divisor=1)


def test_more_instances_than_queries_leave_some_unmatched() -> None:
    targets = make_targets((LEFT, RIGHT, LEFT))
    prediction = perfect(make_targets((LEFT,)), 2)
    [*_, pairs] = detector_losses(prediction, targets, WITHOUT_MANY, divisor=3).matching.one_to_one
    assert len(pairs) == 2
    assert len(set(pairs.query.tolist())) == 2
