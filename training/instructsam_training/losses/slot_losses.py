"""The terms of the losses that slots take part in, for all phrases of a micro-batch at once.

What can be known from the targets alone is worked out on the host; what the network says is waited for once, by the
assignment of slots to instances.

Notation: P phrases, K queries, M matched pairs, N instances, h w the mask grid.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.instructsam.network import Prediction
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.data.targets import Targets
from instructsam_training.engine.upload import upload
from instructsam_training.losses.matcher import SMOOTH, Pair, assign, box_cost, slot_costs
from instructsam_training.losses.terms import (
    box_losses,
    box_projection_losses,
    dice,
    mask_losses,
    projection_dice,
    score_loss,
    semantic_loss,
    tight_boxes,
)

SCORE_SMOOTH = 1e-6
SCORE_FLOOR = 0.1
SAME_IOU = 0.9
"""Masks that overlap more are of one instance."""


@dataclass(frozen=True)
class Matched:
    """The M pairs of slots and instances, those of filled boxes last.

    Attributes:
        pairs: of them, with the numbers of phrases among all P.
        exact: how many are of instances whose masks are known.
        slots: int64 [M], rows of [P * K, ...].
        logits: of the slots' masks, float32 [M, h, w].
        masks: of the instances, float32 [M, h, w].
    """

    pairs: list[Pair]
    exact: int
    slots: Tensor
    logits: Tensor
    masks: Tensor


def query_owners(targets: Targets, query_owner: Sequence[int] | None) -> list[int]:
    """The phrases whose instances are matched: all, or those whose slots others share."""
    return [*range(len(targets))] if query_owner is None else sorted({*query_owner})


def target_counts(targets: Targets, options: LossOptions) -> list[int]:
    """How many instances each phrase is matched to: one that is empty, where options ask for it, if it has none."""
    return [max(count, int(options.no_target == 'matched')) for count in targets.counts]


def slot_losses(
    prediction: Prediction,
    targets: Targets,
    options: LossOptions,
    query_owner: Sequence[int] | None,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """The sums of the terms of masks, boxes, regions and scores; the arguments are as for `compute_losses`."""
    leading = query_owners(targets, query_owner)
    matched = match_slots(prediction, targets, options, leading)
    logits, masks, exact = matched.logits, matched.masks, matched.exact
    losses: dict[str, Tensor] = {}
    if exact:
        of_pairs = mask_losses(logits[:exact], masks[:exact], options.points, generator)
        shape = prediction.score_logits.shape
        losses |= {name: _add_up(values, matched.slots[:exact], shape) for name, values in of_pairs.items()}
    if exact < len(logits):
        losses |= box_projection_losses(logits[exact:], masks[exact:])
    if len(logits) and (options.box_l1 or options.giou):
        refined_xyxy = prediction.refined_xyxy.flatten(1, 2).index_select(1, matched.slots)
        losses |= box_losses(refined_xyxy.float(), tight_boxes(masks))
    if options.semantic:
        semantic_logits = _select(prediction.semantic_logits, leading)
        losses['semantic'] = semantic_loss(semantic_logits, unions(targets, leading))
    wanted = match_scores(matched, options)
    losses['score'] = score_loss(prediction.score_logits, _spread(matched, wanted, prediction, targets, query_owner))
    return losses


def match_slots(prediction: Prediction, targets: Targets, options: LossOptions, leading: Sequence[int]) -> Matched:
    """Assign the instances of the leading phrases to their slots."""
    num_queries, device = prediction.score_logits.shape[1], prediction.mask_logits.device
    rows, counts = targets.rows(), target_counts(targets, options)
    found: list[Pair] = []
    if any(counts[phrase] for phrase in leading):
        costs = _costs(prediction, targets, options, leading)
        found = assign(costs, [counts[phrase] for phrase in leading])
    pairs = [Pair(leading[pair.phrase], pair.slot, pair.instance) for pair in found]
    pairs.sort(key=lambda pair: targets.box_only[pair.phrase])  # stable: otherwise in the order of the phrases
    numbers = [
        [pair.phrase * num_queries + pair.slot for pair in pairs],
        [rows[pair.phrase][pair.instance] for pair in pairs],
    ]
    slots, instances = upload(numbers, device)
    return Matched(
        pairs,
        exact=sum(not targets.box_only[pair.phrase] for pair in pairs),
        slots=slots,
        logits=prediction.mask_logits.flatten(0, 1).index_select(0, slots).float(),
        masks=targets.masks.index_select(0, instances).float(),
    )


@torch.no_grad()
def _costs(prediction: Prediction, targets: Targets, options: LossOptions, leading: Sequence[int]) -> Tensor:
    """What it costs the slots of the leading phrases to answer for their instances, [P, K, N]."""
    rows, box_only = targets.rows(), [targets.box_only[phrase] for phrase in leading]
    masks = targets.masks[upload([rows[phrase] for phrase in leading], targets.masks.device)].float()  # [P, N, h, w]
    mask_logits, score_logits, refined_xyxy = (
        _select(each, leading)
        for each in (prediction.mask_logits, prediction.score_logits, prediction.refined_xyxy[-1])
    )
    box_costs = None
    if options.box_l1 or options.giou:
        boxes = tight_boxes(masks.flatten(0, 1)).view(*masks.shape[:2], 4)
        box_costs = box_cost(refined_xyxy.float(), boxes, options.box_l1, options.giou)
    return slot_costs(mask_logits, score_logits, masks, box_only, box_costs)


def _add_up(values: Tensor, slots: Tensor, shape: torch.Size) -> Tensor:
    """The sum of values of pairs, [M], whose slots are these rows of [P * K].

    Within each phrase first, then phrase by phrase: in that order rounding is that of the numbers that parity compares.
    """
    of_slots = values.new_zeros(shape.numel()).index_copy(0, slots, values)
    return functools.reduce(torch.add, of_slots.view(shape).sum(1).unbind())


@torch.no_grad()
def match_scores(matched: Matched, options: LossOptions) -> Tensor:
    """What matched slots are to score, [M]."""
    if options.score_target == 'binary':
        return torch.ones(len(matched.pairs), device=matched.logits.device)
    probabilities, masks, exact = matched.logits.sigmoid(), matched.masks, matched.exact
    fits = [
        dice(probabilities[:exact], masks[:exact], SCORE_SMOOTH),
        projection_dice(probabilities[exact:], masks[exact:], SCORE_SMOOTH),
    ]
    return torch.cat(fits).clamp(min=SCORE_FLOOR)


@torch.no_grad()
def _spread(
    matched: Matched, wanted: Tensor, prediction: Prediction, targets: Targets, query_owner: Sequence[int] | None
) -> Tensor:
    """What all slots are to score for all phrases, [P, K]: 0 but for matched ones, and for those who share them."""
    phrases, num_queries = prediction.score_logits.shape
    scores = torch.zeros(phrases * num_queries, device=wanted.device).index_copy(0, matched.slots, wanted)
    entries = [
        (phrase, number)
        for phrase, lead in enumerate(query_owner or ())
        if lead != phrase
        for number, pair in enumerate(matched.pairs)
        if pair.phrase == lead
    ]
    if entries:
        rows = [phrase * num_queries + matched.pairs[number].slot for phrase, number in entries]
        chosen = [number * phrases + phrase for phrase, number in entries]
        numbers = upload([rows, chosen, [number for _, number in entries]], wanted.device)
        same = _best_overlap(matched.masks, targets).flatten().index_select(0, numbers[1]) > SAME_IOU
        scores = scores.index_copy(0, numbers[0], wanted.index_select(0, numbers[2]) * same)
    return scores.view(phrases, num_queries)


def _best_overlap(masks: Tensor, targets: Targets) -> Tensor:
    """The largest IoU of matched masks [M, h, w] with the instances of each phrase, [M, P]."""
    ours, theirs = masks.flatten(1), targets.masks.flatten(1).float()
    overlap = ours @ theirs.T
    union = ours.square().sum(1, keepdim=True) + theirs.square().sum(1) - overlap
    iou = overlap / union.clamp(min=SMOOTH)  # [M, N + 1]
    rows = upload(targets.rows(), masks.device)
    return iou.index_select(1, rows.flatten()).view(len(masks), *rows.shape).amax(2)


def unions(targets: Targets, phrases: Sequence[int]) -> Tensor:
    """All instances of each of these phrases together, float32 [P, h, w]."""
    rows = targets.rows()
    return targets.masks[upload([rows[phrase] for phrase in phrases], targets.masks.device)].float().amax(1)


def _select(tensor: Tensor, phrases: Sequence[int]) -> Tensor:
    """Rows of [P, ...]; the tensor itself where it is all of them."""
    return tensor if len(phrases) == len(tensor) else tensor.index_select(0, upload(phrases, tensor.device))
