"""Loss terms of the queries, for all phrases of a micro-batch at once.

The host computes everything that follows from the targets alone. It waits for the device once, for the costs of
assigning queries to instances.

Notation: P phrases, K queries, M matched pairs, N instances, h w the mask grid.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instructsam_model.instructsam.prediction import Prediction
from instructsam_training.config.loss_options import LossOptions
from instructsam_training.data.targets import Targets
from instructsam_training.losses.matcher import SMOOTH, Pair, assign, box_cost, matching_costs
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
from instructsam_training.losses.upload import upload

SCORE_SMOOTH = 1e-6
MIN_TARGET_SCORE = 0.1
SAME_INSTANCE_IOU = 0.9
"""Masks that overlap more than this are of one instance."""


@dataclass(frozen=True)
class Matched:
    """The M matched pairs of queries and instances; pairs whose instance is only a box come last.

    Attributes:
        pairs: the pairs, with the number of the phrase among all P.
        exact: number of pairs whose instance has a mask.
        queries: int64 [M], rows of [P * K, ...].
        logits: mask logits of the queries, float32 [M, h, w].
        masks: of the instances, float32 [M, h, w].
    """

    pairs: list[Pair]
    exact: int
    queries: Tensor
    logits: Tensor
    masks: Tensor


def trained_phrases(targets: Targets, options: LossOptions) -> list[int]:
    """The phrases whose queries are trained: all, or with `maskless='text'` those of samples with at least one mask."""
    phrases = range(len(targets))
    if options.maskless == 'supervised':
        return [*phrases]
    samples = targets.samples or (0,) * len(targets)
    has_mask = {samples[phrase] for phrase in phrases if targets.counts[phrase] and not targets.box_only[phrase]}
    return [phrase for phrase in phrases if samples[phrase] in has_mask]


def query_owners(targets: Targets, options: LossOptions, query_owner: Sequence[int] | None) -> list[int]:
    """The phrases whose instances are matched: all trained ones, or only the owners of shared queries."""
    trained = trained_phrases(targets, options)
    return trained if query_owner is None else sorted({*query_owner} & {*trained})


def target_counts(targets: Targets, options: LossOptions) -> list[int]:
    """Number of instances to match for each phrase; with `no_target='matched'` at least one, which is empty."""
    return [max(count, int(options.no_target == 'matched')) for count in targets.counts]


def query_losses(
    prediction: Prediction,
    targets: Targets,
    options: LossOptions,
    query_owner: Sequence[int] | None,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Sums of the mask, box, semantic and score terms; the arguments are those of `compute_losses`."""
    # 1. Assign queries to instances.
    owners = query_owners(targets, options, query_owner)
    matched = match_queries(prediction, targets, options, owners)
    logits, masks, exact = matched.logits, matched.masks, matched.exact
    losses: dict[str, Tensor] = {}
    # 2. Masks of matched pairs; where only a box is known, the projections of the mask on x and y.
    if exact:
        of_pairs = mask_losses(logits[:exact], masks[:exact], options.points, generator)
        shape = prediction.score_logits.shape
        losses |= {name: _sum_pairs(values, matched.queries[:exact], shape) for name, values in of_pairs.items()}
    if exact < len(logits):
        losses |= box_projection_losses(logits[exact:], masks[exact:])
    # 3. Boxes of matched pairs after every layer of the decoder: [layers, P, K, 4] -> [layers, M, 4].
    if len(logits) and (options.box_l1 or options.giou):
        refined_xyxy = prediction.refined_xyxy.flatten(1, 2).index_select(1, matched.queries)
        losses |= box_losses(refined_xyxy.float(), tight_boxes(masks))
    # 4. The union of all instances of each phrase.
    if options.semantic:
        semantic_logits = _select(prediction.semantic_logits, owners)
        losses['semantic'] = semantic_loss(semantic_logits, unions(targets, owners))
    # 5. Scores of all queries: a positive target for matched ones, 0 for the rest.
    scores = all_target_scores(matched, match_scores(matched, options), prediction, targets, query_owner)
    trained = trained_phrases(targets, options)
    losses['score'] = score_loss(_select(prediction.score_logits, trained), _select(scores, trained))
    return losses


def match_queries(prediction: Prediction, targets: Targets, options: LossOptions, owners: Sequence[int]) -> Matched:
    """Assign the queries of the phrases in `owners` to the instances of these phrases."""
    num_queries, device = prediction.score_logits.shape[1], prediction.mask_logits.device
    rows, counts = targets.rows(), target_counts(targets, options)
    found: list[Pair] = []
    if any(counts[phrase] for phrase in owners):
        costs = _costs(prediction, targets, options, owners)
        found = assign(costs, [counts[phrase] for phrase in owners])  # the host waits here
    pairs = [Pair(owners[pair.phrase], pair.query, pair.instance) for pair in found]
    pairs.sort(key=lambda pair: targets.box_only[pair.phrase])  # stable, so the order of the phrases is kept
    # Row numbers of both sides of the pairs: among the queries [P * K], and among the masks [N + 1].
    numbers = [
        [pair.phrase * num_queries + pair.query for pair in pairs],
        [rows[pair.phrase][pair.instance] for pair in pairs],
    ]
    queries, instances = upload(numbers, device)
    return Matched(
        pairs,
        exact=sum(not targets.box_only[pair.phrase] for pair in pairs),
        queries=queries,
        logits=prediction.mask_logits.flatten(0, 1).index_select(0, queries).float(),
        masks=targets.masks.index_select(0, instances).float(),
    )


@torch.no_grad()
def _costs(prediction: Prediction, targets: Targets, options: LossOptions, owners: Sequence[int]) -> Tensor:
    """Costs [P, K, N] of assigning the queries of the phrases in `owners` to their instances."""
    rows, box_only = targets.rows(), [targets.box_only[phrase] for phrase in owners]
    masks = targets.masks[upload([rows[phrase] for phrase in owners], targets.masks.device)].float()  # [P, N, h, w]
    mask_logits, score_logits, refined_xyxy = (
        _select(each, owners) for each in (prediction.mask_logits, prediction.score_logits, prediction.refined_xyxy[-1])
    )
    box_costs = None
    if options.box_l1 or options.giou:
        boxes = tight_boxes(masks.flatten(0, 1)).view(*masks.shape[:2], 4)  # [P, N, 4]
        box_costs = box_cost(refined_xyxy.float(), boxes, options.box_l1, options.giou)
    return matching_costs(mask_logits, score_logits, masks, box_only, box_costs)


def _sum_pairs(values: Tensor, queries: Tensor, shape: torch.Size) -> Tensor:
    """Sum of values [M] of pairs whose queries are these rows of [P * K].

    It sums within each phrase first, and then phrase by phrase: the order whose rounding the parity tests compare.
    """
    of_queries = values.new_zeros(shape.numel()).index_copy(0, queries, values)
    return functools.reduce(torch.add, of_queries.view(shape).sum(1).unbind())


@torch.no_grad()
def match_scores(matched: Matched, options: LossOptions) -> Tensor:
    """Target scores of the matched queries, [M]."""
    if options.score_target == 'binary':
        return torch.ones(len(matched.pairs), device=matched.logits.device)
    probabilities, masks, exact = matched.logits.sigmoid(), matched.masks, matched.exact
    fits = [
        dice(probabilities[:exact], masks[:exact], SCORE_SMOOTH),
        projection_dice(probabilities[exact:], masks[exact:], SCORE_SMOOTH),
    ]
    return torch.cat(fits).clamp(min=MIN_TARGET_SCORE)


@torch.no_grad()
def all_target_scores(
    matched: Matched,
    target_scores: Tensor,
    prediction: Prediction,
    targets: Targets,
    query_owner: Sequence[int] | None,
) -> Tensor:
    """Target scores [P, K] of all queries: those of matched ones, 0 for the rest.

    A phrase that uses the queries of another one has the same target for a query if its instance is one of the phrase's
    own, and 0 otherwise.

    Args:
        matched: the pairs of the owners of queries.
        target_scores: of the pairs, [M].
        prediction: for P and K.
        targets: of the P phrases.
        query_owner: as in `compute_losses`.
    """
    phrases, num_queries = prediction.score_logits.shape
    scores = torch.zeros(phrases * num_queries, device=target_scores.device)
    scores = scores.index_copy(0, matched.queries, target_scores)
    # Each phrase that uses the queries of an owner, with each pair of that owner.
    borrowed = [
        (phrase, number)
        for phrase, owner in enumerate(query_owner or ())
        if owner != phrase
        for number, pair in enumerate(matched.pairs)
        if pair.phrase == owner
    ]
    if borrowed:
        rows = [phrase * num_queries + matched.pairs[number].query for phrase, number in borrowed]
        cells = [number * phrases + phrase for phrase, number in borrowed]  # of the overlaps [M, P]
        numbers = upload([rows, cells, [number for _, number in borrowed]], target_scores.device)
        is_same = _best_overlap(matched.masks, targets).flatten().index_select(0, numbers[1]) > SAME_INSTANCE_IOU
        scores = scores.index_copy(0, numbers[0], target_scores.index_select(0, numbers[2]) * is_same)
    return scores.view(phrases, num_queries)


def _best_overlap(masks: Tensor, targets: Targets) -> Tensor:
    """Largest IoU of matched masks [M, h, w] with the instances of each phrase, [M, P]."""
    ours, theirs = masks.flatten(1), targets.masks.flatten(1).float()
    overlap = ours @ theirs.T
    union = ours.square().sum(1, keepdim=True) + theirs.square().sum(1) - overlap
    iou = overlap / union.clamp(min=SMOOTH)  # [M, N + 1]
    rows = upload(targets.rows(), masks.device)
    return iou.index_select(1, rows.flatten()).view(len(masks), *rows.shape).amax(2)


def unions(targets: Targets, phrases: Sequence[int]) -> Tensor:
    """Union of the instances of each of these phrases, float32 [P, h, w]."""
    rows = targets.rows()
    return targets.masks[upload([rows[phrase] for phrase in phrases], targets.masks.device)].float().amax(1)


def _select(tensor: Tensor, phrases: Sequence[int]) -> Tensor:
    """Rows of [P, ...]; the tensor itself if all are selected."""
    return tensor if len(phrases) == len(tensor) else tensor.index_select(0, upload(phrases, tensor.device))
