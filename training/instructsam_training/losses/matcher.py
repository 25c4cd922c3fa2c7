"""Bipartite matching of queries to instances: the assignment of lowest cost (paper section 3, DETR).

The costs of all phrases of a micro-batch are computed at once and downloaded in one transfer, the only one that the
losses wait for.

Notation: P phrases, K queries, N the largest number of instances of a phrase, h w the mask grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou

BCE_COST = 2.0
DICE_COST = 0.5
SCORE_COST = 1.0
SMOOTH = 1e-3


@dataclass(frozen=True)
class Pair:
    """A query matched to an instance; `query` and `instance` are numbers within the phrase."""

    phrase: int
    query: int
    instance: int


@torch.no_grad()
def matching_costs(
    mask_logits: Tensor,
    score_logits: Tensor,
    masks: Tensor,
    box_only: Sequence[bool],
    box_costs: Tensor | None = None,
) -> Tensor:
    """Cost of matching each query to each instance.

    Args:
        mask_logits: [P, K, h, w].
        score_logits: [P, K].
        masks: [P, N, h, w], 0 to 1; phrases with fewer instances are padded with empty masks.
        box_only: P times whether the masks are filled boxes; then only the projections on x and y are compared, because
            the pixels inside are unknown.
        box_costs: [P, K, N], distances between the boxes, if boxes are trained.

    Returns:
        [P, K, N].
    """
    logits, masks = mask_logits.float(), masks.float()
    probabilities = logits.sigmoid()
    # 1. Mask costs [P, K, N] of both kinds of targets, only those that occur.
    kinds: dict[bool, Tensor] = {}
    if not all(box_only):
        kinds[False] = DICE_COST * dice_cost(probabilities.flatten(2), masks.flatten(2)) + BCE_COST * bce_cost(
            logits.flatten(2), masks.flatten(2)
        )
    if any(box_only):
        kinds[True] = _projection_cost(probabilities, masks)
    # 2. The costs of each phrase by its kind.
    if len(kinds) == 1:
        [mask_cost] = kinds.values()
    else:
        mask_cost = torch.stack([kinds[kind][row] for row, kind in enumerate(box_only)])
    # 3. A confident query costs less.
    cost = mask_cost + SCORE_COST * F.softplus(-score_logits.float()).unsqueeze(2)
    return cost if box_costs is None else cost + box_costs


def assign(costs: Tensor, counts: Sequence[int]) -> list[Pair]:
    """Assign queries to instances, min(K, instances) pairs for each phrase; waits for the device, once.

    Args:
        costs: [P, K, N].
        counts: numbers of instances of the P phrases; the columns behind them are padding.

    Raises:
        FloatingPointError: a cost is NaN or infinite.
    """
    costs_np = costs.cpu().numpy()
    pairs: list[Pair] = []
    for phrase, count in enumerate(counts):
        cost = costs_np[phrase, :, :count]  # [K, count]
        if not np.isfinite(cost).all():
            raise FloatingPointError('matching: a cost is NaN or infinite; the network has diverged')
        queries, instances = linear_sum_assignment(cost)
        pairs += [Pair(phrase, int(query), int(instance)) for query, instance in zip(queries, instances, strict=True)]
    return pairs


def dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of every query with every instance: [P, K, cells], [P, N, cells] -> [P, K, N]."""
    overlap = 2 * probabilities @ targets.mT
    size = probabilities.sum(2).unsqueeze(2) + targets.sum(2).unsqueeze(1)
    return 1 - (overlap + SMOOTH) / (size + SMOOTH)


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of every query with every instance: [P, K, cells], [P, N, cells] -> [P, K, N]."""
    # softplus(-x) on the object and softplus(x) elsewhere; softplus(x) - softplus(-x) = x
    return (F.softplus(logits).sum(2).unsqueeze(2) - logits @ targets.mT) / logits.shape[2]


def box_cost(predicted_xyxy: Tensor, boxes_xyxy: Tensor, box_l1: float, giou: float) -> Tensor:
    """Weighted L1 distance and 1 - generalized IoU of every query's box with every instance's (DETR).

    Args:
        predicted_xyxy: [P, K, 4], 0..1.
        boxes_xyxy: [P, N, 4], 0..1.
        box_l1: weight of the L1 distance, that of the loss.
        giou: weight of 1 - generalized IoU, that of the loss.

    Returns:
        [P, K, N].
    """
    distance = torch.cdist(predicted_xyxy, boxes_xyxy, p=1)
    cost: Tensor = box_l1 * distance + giou * (1 - generalized_box_iou(predicted_xyxy, boxes_xyxy))
    return cost


def _projection_cost(probabilities: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of the projections on x and y, averaged: [P, K, h, w], [P, N, h, w] -> [P, K, N]."""
    costs = [dice_cost(probabilities.amax(axis), masks.amax(axis)) for axis in (2, 3)]
    return (costs[0] + costs[1]) / 2
