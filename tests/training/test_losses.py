"""Losses and matching on cases that can be worked out by hand; golden values are compared in test_parity."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from squares import logits_of, square

from instructsam_model import ConfigError
from instructsam_model.network import Prediction
from instructsam_training.losses import (
    PRESETS,
    TERMS,
    LossOptions,
    LossTerms,
    PhraseTarget,
    compute_losses,
    count_terms,
    phrase_losses,
    total_loss,
)
from instructsam_training.matching import box_cost, match
from instructsam_training.terms import tight_boxes

ALL_PIXELS = replace(PRESETS['paper'], points=None)
BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])


def test_slots_are_matched_to_the_instances_they_draw_whatever_their_order() -> None:
    left, right, far = square(0, 0), square(0, 8), square(8, 8)
    slots, instances = match(logits_of(far, right, left), torch.zeros(3), torch.stack([left, right]))
    assert dict(zip(slots.tolist(), instances.tolist(), strict=True)) == {2: 0, 1: 1}


def test_of_two_equal_slots_the_surer_one_is_matched() -> None:
    mask = square(2, 2)
    slots, _ = match(logits_of(mask, mask), torch.tensor([-1.0, 3.0]), mask.unsqueeze(0))
    assert slots.tolist() == [1]


def test_more_instances_than_slots_leaves_some_without() -> None:
    masks = torch.stack([square(0, 0), square(0, 8), square(8, 0)])
    slots, instances = match(logits_of(masks[2], masks[1]), torch.zeros(2), masks)
    assert dict(zip(slots.tolist(), instances.tolist(), strict=True)) == {0: 2, 1: 1}


def test_where_boxes_are_learnt_the_nearer_slot_is_matched() -> None:
    """Slots that draw alike, as all do at first, would else be dealt out at random."""
    masks = torch.stack([square(0, 0), square(8, 8)])
    alike, scores = torch.zeros(2, 12, 12), torch.zeros(2)
    boxes = torch.tensor([[0.5, 0.5, 0.9, 0.9], [0.0, 0.1, 0.4, 0.4]])
    cost = box_cost(boxes, tight_boxes(masks), corners=1.0, giou=1.0)
    slots, instances = match(alike, scores, masks, place_cost=cost)
    assert dict(zip(slots.tolist(), instances.tolist(), strict=True)) == {0: 1, 1: 0}


def test_boxes_are_matched_by_their_extent_alone() -> None:
    """A slot that fills a corner of the box's rows and columns beats one that fills half the box."""
    box = square(2, 2, side=8)
    diagonal = torch.eye(12) * box
    half = square(2, 2, side=8)
    half[:, 6:] = 0
    slots, _ = match(logits_of(half, diagonal), torch.zeros(2), box.unsqueeze(0), weak=True)
    assert slots.tolist() == [1]
    slots, _ = match(logits_of(half, diagonal), torch.zeros(2), box.unsqueeze(0))
    assert slots.tolist() == [0]


def test_diverged_network_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match='diverged'):
        match(torch.full((1, 4, 4), math.nan), torch.zeros(1), torch.ones(1, 4, 4))


def test_no_target_wants_low_scores_and_no_mask() -> None:
    """With the public code, one slot would be drawn towards an empty mask and a score of 0.1."""
    scores = torch.tensor([2.0, -3.0])
    nothing = PhraseTarget(torch.zeros(0, 12, 12))
    losses, _ = phrase_losses(logits_of(square(0, 0), square(4, 4)), scores, BOXES, nothing, ALL_PIXELS)
    assert set(losses) == {'score'}
    assert float(losses['score']) == pytest.approx(float(F.softplus(scores).mean()))
    released = replace(PRESETS['released'], points=None)
    matched, _ = phrase_losses(logits_of(square(0, 0), square(4, 4)), scores, BOXES, nothing, released)
    assert {'bce', 'dice'} <= matched.keys()


@pytest.mark.parametrize(('kind', 'wanted'), [('binary', 1.0), ('dice', 2 * 8 / (16 + 8))])
def test_score_target_is_one_or_how_well_the_mask_fits(kind: str, wanted: float) -> None:
    drawn = square(2, 2)
    drawn[2:4] = 0  # half of it
    options = replace(ALL_PIXELS, score_target=kind)  # type: ignore[arg-type]
    score = torch.tensor([0.3])
    losses, _ = phrase_losses(logits_of(drawn), score, BOXES[:, :1], PhraseTarget(square(2, 2).unsqueeze(0)), options)
    expected = F.binary_cross_entropy_with_logits(score, torch.tensor([wanted]))
    assert float(losses['score']) == pytest.approx(float(expected), rel=1e-3)


def test_counts_are_known_before_the_forward_pass() -> None:
    labels = torch.tensor([[-100, -100, 5, 6], [-100, 7, -100, -100]])
    targets = [
        PhraseTarget(torch.zeros(3, 4, 4)),
        PhraseTarget(torch.zeros(0, 4, 4)),
        PhraseTarget(torch.zeros(1, 4, 4), weak=True),
    ]
    counts = {'text': 3, 'bce': 2, 'dice': 2, 'box': 1, 'score': 3, 'corners': 3, 'giou': 3, 'region': 3, 'place': 3}
    assert count_terms(labels, targets, 2, PRESETS['paper']) == counts
    assert count_terms(labels, targets, 2, PRESETS['released'])['bce'] == 3


def test_total_weighs_each_term_by_its_count() -> None:
    sums = {**dict.fromkeys(TERMS, 1.0), 'text': 6.0, 'bce': 4.0, 'dice': 2.0, 'box': 0.0}
    counts = {**dict.fromkeys(TERMS, 2), 'text': 3, 'box': 0, 'score': 4}
    terms = LossTerms({name: torch.tensor(value) for name, value in sums.items()}, counts)
    assert float(total_loss(terms, counts, LossOptions())) == pytest.approx(2 + 2.0 * 2 + 0.5 * 1 + 0.25)


def test_released_preset_has_the_weights_of_the_public_code() -> None:
    assert (PRESETS['released'].bce, PRESETS['released'].dice) == (4.0, 0.25)
    assert (PRESETS['paper'].bce, PRESETS['paper'].dice) == (2.0, 0.5)


@pytest.mark.parametrize('wrong', [{'score_target': 'iou'}, {'no_target': 'ignored'}])
def test_unknown_choices_list_the_known_ones(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match='expected'):
        LossOptions(**wrong)  # type: ignore[arg-type]


def test_boxes_are_learnt_only_where_they_are_asked_for() -> None:
    mask = square(2, 2)
    slots = logits_of(mask), torch.zeros(1), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    unasked, _ = phrase_losses(*slots, PhraseTarget(mask.unsqueeze(0)), ALL_PIXELS)
    assert 'corners' not in unasked
    asked, _ = phrase_losses(*slots, PhraseTarget(mask.unsqueeze(0)), replace(ALL_PIXELS, corners=1.0))
    assert float(asked['corners']) == pytest.approx(2 / 12 + 2 / 12 + 6 / 12 + 6 / 12)


def test_phrases_that_share_slots_teach_scores_and_only_the_first_teaches_masks() -> None:
    """Slot 0 draws the left square, slot 1 the right one; 'left thing' means the first, 'ghost' neither."""
    left, right = square(0, 0), square(8, 8)
    logits = logits_of(left, right).expand(3, 2, 12, 12)
    scores = torch.zeros(3, 2, requires_grad=True)
    prediction = Prediction(
        mask_logits=logits,
        score_logits=scores,
        refined_xyxy=torch.zeros(1, 3, 2, 4),
        query_states=torch.zeros(3, 2, 4),
        query_embeds=torch.zeros(3, 2, 4),
        phrase_embeds=torch.zeros(3, 1, 4),
        region_logits=torch.zeros(3, 12, 12),
    )
    both, ghost = torch.stack([left, right]), torch.zeros(0, 12, 12)
    targets = [PhraseTarget(both), PhraseTarget(left.unsqueeze(0)), PhraseTarget(ghost)]
    labels = torch.full((1, 3), -100)
    terms = compute_losses(prediction, labels, targets, replace(ALL_PIXELS, score_target='binary'), leads=[0, 0, 0])
    assert terms.counts == {
        **dict.fromkeys(TERMS, 0),
        'bce': 2,
        'dice': 2,
        'score': 3,
        'corners': 2,
        'giou': 2,
        'region': 1,
        'place': 3,
    }
    terms.sums['score'].backward()
    assert scores.grad is not None
    assert (scores.grad < 0).tolist() == [[True, True], [True, False], [False, False]]


def test_without_slots_there_are_places_alone() -> None:
    places = torch.zeros(2, 3, 3, requires_grad=True)
    prediction = Prediction(
        mask_logits=torch.zeros(2, 0, 12, 12),
        score_logits=torch.zeros(2, 0),
        refined_xyxy=torch.zeros(1, 2, 0, 4),
        query_states=torch.zeros(2, 5, 4),
        query_embeds=torch.zeros(2, 5, 4),
        phrase_embeds=torch.zeros(2, 1, 4),
        region_logits=torch.zeros(2, 12, 12),
        place_logits=places,
    )
    targets = [PhraseTarget(square(0, 0).unsqueeze(0)), PhraseTarget(torch.zeros(0, 12, 12))]
    terms = compute_losses(prediction, torch.full((1, 3), -100), targets, LossOptions(place=1.0))
    assert {name for name, value in terms.sums.items() if float(value.detach())} == {'place'}
    terms.sums['place'].backward()
    assert places.grad is not None
    assert places.grad[0, 0, 0] < 0 < places.grad[1, 0, 0]
