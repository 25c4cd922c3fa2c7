"""Losses and matching on cases that can be computed by hand; golden values are compared in test_parity.

Covers losses/query_losses.py and losses/matcher.py too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_model import ConfigError
from instructsam_model.instructsam.prediction import Prediction
from instructsam_training.config.loss_options import PRESETS, LossOptions
from instructsam_training.data.targets import PhraseTarget, stack_targets
from instructsam_training.losses.losses import TERMS, LossTerms, compute_losses, count_terms, total_loss
from instructsam_training.losses.matcher import assign, box_cost, matching_costs
from instructsam_training.losses.terms import tight_boxes
from tests.support.squares import logits_of, square

ALL_PIXELS = replace(PRESETS['paper'], points=None)
MATCHED = replace(PRESETS['released'], maskless='supervised')
NO_WORDS = torch.zeros(0, dtype=torch.long)
NOTHING = PhraseTarget(torch.zeros(0, 12, 12))


def match(
    mask_logits: Tensor, score_logits: Tensor, masks: Tensor, *, box_only: bool = False, box_costs: Tensor | None = None
) -> dict[int, int]:
    """The instance of each matched query of one phrase."""
    box_costs = None if box_costs is None else box_costs[None]
    costs = matching_costs(mask_logits[None], score_logits[None], masks[None], [box_only], box_costs)
    return {pair.query: pair.instance for pair in assign(costs, [len(masks)])}


def predict(mask_logits: Tensor, score_logits: Tensor, boxes_xyxy: Tensor | None = None) -> Prediction:
    """A prediction for P phrases: mask_logits [P, K, 12, 12], score_logits [P, K], boxes [P, K, 4]."""
    phrases, queries = score_logits.shape
    return Prediction(
        mask_logits=mask_logits,
        score_logits=score_logits,
        refined_xyxy=torch.zeros(1, phrases, queries, 4) if boxes_xyxy is None else boxes_xyxy[None],
        query_states=torch.zeros(phrases, queries, 4),
        query_embeds=torch.zeros(phrases, queries, 4),
        phrase_embeds=torch.zeros(phrases, 1, 4),
        semantic_logits=torch.zeros(phrases, 12, 12),
    )


def losses_of(prediction: Prediction, options: LossOptions, *targets: PhraseTarget) -> LossTerms:
    return compute_losses(prediction, NO_WORDS, stack_targets(targets, (12, 12)), options)


def test_queries_are_matched_to_the_instances_of_their_masks_in_any_order() -> None:
    left, right, far = square(0, 0), square(0, 8), square(8, 8)
    assert match(logits_of(far, right, left), torch.zeros(3), torch.stack([left, right])) == {2: 0, 1: 1}


def test_of_two_equal_queries_the_more_confident_is_matched() -> None:
    mask = square(2, 2)
    assert match(logits_of(mask, mask), torch.tensor([-1.0, 3.0]), mask.unsqueeze(0)) == {1: 0}


def test_with_more_instances_than_queries_some_stay_unmatched() -> None:
    masks = torch.stack([square(0, 0), square(0, 8), square(8, 0)])
    assert match(logits_of(masks[2], masks[1]), torch.zeros(2), masks) == {0: 2, 1: 1}


def test_box_costs_match_the_nearest_query() -> None:
    """Without box costs, queries with equal masks, as at the start of training, would be matched at random."""
    masks = torch.stack([square(0, 0), square(8, 8)])
    alike, scores = torch.zeros(2, 12, 12), torch.zeros(2)
    boxes = torch.tensor([[0.5, 0.5, 0.9, 0.9], [0.0, 0.1, 0.4, 0.4]])
    cost = box_cost(boxes, tight_boxes(masks), box_l1=1.0, giou=1.0)
    assert match(alike, scores, masks, box_costs=cost) == {0: 1, 1: 0}


def test_box_only_instances_are_matched_by_their_projections() -> None:
    """A query that touches all rows and columns of the box beats one that fills half of the box."""
    box = square(2, 2, side=8)
    diagonal = torch.eye(12) * box
    half = square(2, 2, side=8)
    half[:, 6:] = 0
    assert match(logits_of(half, diagonal), torch.zeros(2), box.unsqueeze(0), box_only=True) == {1: 0}
    assert match(logits_of(half, diagonal), torch.zeros(2), box.unsqueeze(0)) == {0: 0}


def test_diverged_network_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match='diverged'):
        match(torch.full((1, 4, 4), math.nan), torch.zeros(1), torch.ones(1, 4, 4))


def test_phrase_without_instances_trains_scores_only() -> None:
    """The public code trains one query towards an empty mask and a score of 0.1."""
    scores = torch.tensor([[2.0, -3.0]])
    prediction = predict(logits_of(square(0, 0), square(4, 4))[None], scores)
    terms = losses_of(prediction, ALL_PIXELS, NOTHING)
    assert {name for name, value in terms.sums.items() if value} == {'score'}
    assert float(terms.sums['score']) == pytest.approx(float(F.softplus(scores).mean()))


def test_public_code_matches_an_empty_mask_in_mixed_samples_and_trains_text_alone_in_maskless_ones() -> None:
    released = replace(PRESETS['released'], points=None)
    scores = torch.tensor([[2.0, -3.0], [0.5, -0.5], [1.0, 1.0]])
    mask_logits = logits_of(square(0, 0), square(4, 4)).expand(3, -1, -1, -1)
    prediction, mask = predict(mask_logits, scores), PhraseTarget(square(0, 0)[None])
    box = PhraseTarget(square(4, 4)[None], box_only=True)
    # One sample with a mask, a phrase without instances and a box: everything is trained.
    mixed = losses_of(prediction, released, NOTHING, mask, box)
    assert mixed.counts['bce'] == 2
    assert mixed.counts['score'] == 3
    # The query that is matched to the empty mask has the target 0.1.
    expected = F.binary_cross_entropy_with_logits(scores, torch.tensor([[0.1, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert float(mixed.sums['score']) == pytest.approx(3 * float(expected), rel=1e-4)
    # The same phrases, each in a sample of its own: only that with a mask trains queries.
    targets = stack_targets([NOTHING, mask, box], (12, 12), [0, 1, 2])
    apart = compute_losses(prediction, NO_WORDS, targets, released)
    alone = compute_losses(predict(mask_logits[1:2], scores[1:2]), NO_WORDS, stack_targets([mask], (12, 12)), released)
    assert {name: apart.counts[name] for name in ('bce', 'dice', 'box', 'score')} == {
        'bce': 1, 'dice': 1, 'box': 0, 'score': 1,
    }  # fmt: skip
    assert {name: float(value) for name, value in apart.sums.items()} == {
        name: float(value) for name, value in alone.sums.items()
    }
    # In the paper's preset all three train their queries.
    assert compute_losses(prediction, NO_WORDS, targets, ALL_PIXELS).counts['score'] == 3


@pytest.mark.parametrize(('kind', 'expected_score'), [('binary', 1.0), ('dice', 2 * 8 / (16 + 8))])
def test_target_score_is_one_or_the_dice_of_the_mask(kind: str, expected_score: float) -> None:
    drawn = square(2, 2)
    drawn[2:4] = 0  # half of it
    options = replace(ALL_PIXELS, score_target=kind)  # type: ignore[arg-type]
    score = torch.tensor([[0.3]])
    terms = losses_of(predict(logits_of(drawn)[None], score), options, PhraseTarget(square(2, 2)[None]))
    expected = F.binary_cross_entropy_with_logits(score, torch.tensor([[expected_score]]))
    assert float(terms.sums['score']) == pytest.approx(float(expected), rel=1e-3)


def test_score_of_a_poor_mask_is_at_least_a_tenth_in_the_public_code_and_one_in_the_paper() -> None:
    score, target = torch.tensor([[0.3]]), PhraseTarget(square(8, 8)[None])
    prediction = predict(logits_of(square(0, 0))[None], score)
    for preset, expected in (('paper', 1.0), ('released', 0.1)):
        terms = losses_of(prediction, replace(PRESETS[preset], points=None), target)
        wanted = F.binary_cross_entropy_with_logits(score, torch.tensor([[expected]]))
        assert float(terms.sums['score']) == pytest.approx(float(wanted), rel=1e-4), preset


@pytest.mark.parametrize('options', [PRESETS['paper'], MATCHED, LossOptions(box_l1=1, giou=1, semantic=1)])
def test_loss_of_phrases_together_is_the_sum_of_their_losses(options: LossOptions) -> None:
    """Several instances, one, none, and a filled box; queries of other phrases have no influence."""
    generator = torch.Generator().manual_seed(0)
    prediction = predict(
        4 * torch.randn(4, 3, 12, 12, generator=generator),
        torch.randn(4, 3, generator=generator),
        torch.rand(4, 3, 4, generator=generator).sort(dim=2).values,
    )
    targets = [
        PhraseTarget(torch.stack([square(0, 0), square(8, 8)])),
        PhraseTarget(square(2, 6)[None]),
        NOTHING,
        PhraseTarget(square(4, 4, side=6)[None], box_only=True),
    ]
    options = replace(options, points=None)
    together = losses_of(prediction, options, *targets)
    rows = [slice(row, row + 1) for row in range(4)]
    apart = [
        losses_of(
            predict(prediction.mask_logits[row], prediction.score_logits[row], prediction.box_xyxy[row]),
            options,
            target,
        )
        for row, target in zip(rows, targets, strict=True)
    ]
    for name in TERMS:
        assert float(together.sums[name]) == pytest.approx(sum(float(terms.sums[name]) for terms in apart)), name
        assert together.counts[name] == sum(terms.counts[name] for terms in apart)


def test_counts_are_known_before_the_forward_pass() -> None:
    targets = stack_targets(
        [
            PhraseTarget(torch.zeros(3, 4, 4)),
            PhraseTarget(torch.zeros(0, 4, 4)),
            PhraseTarget(torch.zeros(1, 4, 4), box_only=True),
        ],
        (4, 4),
    )
    counts = {
        'text': 3,
        'bce': 2,
        'dice': 2,
        'box': 1,
        'score': 3,
        'box_l1': 3,
        'giou': 3,
        'semantic': 3,
        'location': 3,
    }
    assert count_terms(3, targets, 2, PRESETS['paper']) == counts
    assert count_terms(3, targets, 2, PRESETS['released'])['bce'] == 3
    assert count_terms(3, targets, 2, PRESETS['released'])['score'] == 3


def test_total_divides_each_term_by_its_count() -> None:
    sums = {**dict.fromkeys(TERMS, 1.0), 'text': 6.0, 'bce': 4.0, 'dice': 2.0, 'box': 0.0}
    counts = {**dict.fromkeys(TERMS, 2), 'text': 3, 'box': 0, 'score': 4}
    terms = LossTerms({name: torch.tensor(value) for name, value in sums.items()}, counts)
    assert float(total_loss(terms, counts, LossOptions())) == pytest.approx(2 + 2.0 * 2 + 0.5 * 1 + 0.25)


def test_presets_are_what_their_names_say() -> None:
    assert PRESETS['paper'] == LossOptions(
        text=1, bce=2, dice=0.5, box=1, score=1, score_target='binary', no_target='supervised', points=12_544
    )
    assert PRESETS['released'] == LossOptions(
        text=1,
        bce=2 * 2,
        dice=0.5 * 0.5,
        score=1,
        score_target='dice',
        no_target='matched',
        maskless='text',
        points=12_544,
    )


@pytest.mark.parametrize('wrong', [{'score_target': 'iou'}, {'no_target': 'ignored'}, {'maskless': 'ignored'}])
def test_unknown_choices_list_the_known_ones(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match='expected'):
        LossOptions(**wrong)  # type: ignore[arg-type]


def test_box_loss_is_zero_unless_it_has_a_weight() -> None:
    mask = square(2, 2)
    prediction = predict(logits_of(mask)[None], torch.zeros(1, 1), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))
    assert float(losses_of(prediction, ALL_PIXELS, PhraseTarget(mask[None])).sums['box_l1']) == 0
    weighted = losses_of(prediction, replace(ALL_PIXELS, box_l1=1.0), PhraseTarget(mask[None])).sums
    assert float(weighted['box_l1']) == pytest.approx(2 / 12 + 2 / 12 + 6 / 12 + 6 / 12)


def test_phrases_that_share_queries_train_scores_and_only_the_owner_trains_masks() -> None:
    """Query 0 has the left square, query 1 the right one; the second phrase means the left one, the third neither."""
    left, right = square(0, 0), square(8, 8)
    scores = torch.zeros(3, 2, requires_grad=True)
    prediction = predict(logits_of(left, right).expand(3, 2, 12, 12), scores)
    targets = stack_targets([PhraseTarget(torch.stack([left, right])), PhraseTarget(left[None]), NOTHING], (12, 12))
    terms = compute_losses(
        prediction, NO_WORDS, targets, replace(ALL_PIXELS, score_target='binary'), query_owner=[0, 0, 0]
    )
    assert terms.counts == {
        **dict.fromkeys(TERMS, 0),
        'bce': 2,
        'dice': 2,
        'score': 3,
        'box_l1': 2,
        'giou': 2,
        'semantic': 1,
        'location': 3,
    }
    terms.sums['score'].backward()
    assert scores.grad is not None
    assert (scores.grad < 0).tolist() == [[True, True], [True, False], [False, False]]


def test_without_queries_only_locations_are_trained() -> None:
    locations = torch.zeros(2, 3, 3, requires_grad=True)
    prediction = replace(predict(torch.zeros(2, 0, 12, 12), torch.zeros(2, 0)), location_logits=locations)
    terms = losses_of(prediction, LossOptions(location=1.0), PhraseTarget(square(0, 0)[None]), NOTHING)
    assert {name for name, value in terms.sums.items() if float(value.detach())} == {'location'}
    terms.sums['location'].backward()
    assert locations.grad is not None
    assert locations.grad[0, 0, 0] < 0 < locations.grad[1, 0, 0]
