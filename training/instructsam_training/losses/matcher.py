"""Which slot answers for which instance: the cheapest one-to-one assignment (paper section 3.4, DETR).

All phrases of a micro-batch are compared at once, and their costs come down in one transfer: the only one that the
losses wait for.

Notation: P phrases, K slots, N the most instances of a phrase, M matched pairs, h w the mask grid.
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
    """A slot that answers for an instance; all are numbers within their phrase but the phrase itself."""

    phrase: int
    slot: int
    instance: int


@torch.no_grad()
def slot_costs(
    mask_logits: Tensor,
    score_logits: Tensor,
    masks: Tensor,
    box_only: Sequence[bool],
    box_costs: Tensor | None = None,
) -> Tensor:
    """What it costs each slot to answer for each instance.

    Args:
        mask_logits: [P, K, h, w].
        score_logits: [P, K].
        masks: [P, N, h, w], 0 to 1; empty ones behind the instances of phrases with fewer.
        box_only: of P phrases whether the instances are filled boxes; what lies inside them is not known, so only their
            extent is compared.
        box_costs: [P, K, N], how far the slots' boxes are from the instances', where boxes are learnt.

    Returns:
        [P, K, N].
    """
    logits, masks = mask_logits.float(), masks.float()
    probabilities = logits.sigmoid()
    kinds: dict[bool, Tensor] = {}
    if not all(box_only):
        kinds[False] = DICE_COST * dice_cost(probabilities.flatten(2), masks.flatten(2)) + BCE_COST * bce_cost(
            logits.flatten(2), masks.flatten(2)
        )
    if any(box_only):
        kinds[True] = _extent_cost(probabilities, masks)
    mask_cost = (
        kinds[box_only[0]] if len(kinds) == 1 else torch.stack([kinds[kind][row] for row, kind in enumerate(box_only)])
    )
    cost = mask_cost + SCORE_COST * F.softplus(-score_logits.float()).unsqueeze(2)
    return cost if box_costs is None else cost + box_costs


def assign(costs: Tensor, counts: Sequence[int]) -> list[Pair]:
    """Assign instances to slots, min(K, instances) pairs for each phrase; waits for the device, once.

    Args:
        costs: [P, K, N].
        counts: numbers of instances of the P phrases; the other columns are not looked at.

    Raises:
        FloatingPointError: a cost is NaN or infinite.
    """
    read = costs.cpu().numpy()
    pairs: list[Pair] = []
    for phrase, count in enumerate(counts):
        cost = read[phrase, :, :count]
        if not np.isfinite(cost).all():
            raise FloatingPointError('matching: a cost is NaN or infinite; the network has diverged')
        slots, instances = linear_sum_assignment(cost)
        pairs += [Pair(phrase, int(slot), int(instance)) for slot, instance in zip(slots, instances, strict=True)]
    return pairs


def dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of every slot with every instance: [P, K, cells], [P, N, cells] -> [P, K, N]."""
    overlap = 2 * probabilities @ targets.mT
    size = probabilities.sum(2).unsqueeze(2) + targets.sum(2).unsqueeze(1)
    return 1 - (overlap + SMOOTH) / (size + SMOOTH)


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of every slot with every instance: [P, K, cells], [P, N, cells] -> [P, K, N]."""
    # softplus(-x) on the object and softplus(x) elsewhere; softplus(x) - softplus(-x) = x
    return (F.softplus(logits).sum(2).unsqueeze(2) - logits @ targets.mT) / logits.shape[2]


def box_cost(predicted_xyxy: Tensor, boxes_xyxy: Tensor, box_l1: float, giou: float) -> Tensor:
    """Weighted L1 distance and 1 - generalised IoU of every slot's box with every instance's (DETR).

    Args:
        predicted_xyxy: [P, K, 4], 0..1.
        boxes_xyxy: [P, N, 4], 0..1.
        box_l1: weight of the distance, that of the loss.
        giou: weight of 1 - generalised IoU, likewise.

    Returns:
        [P, K, N].
    """
    distance = torch.cdist(predicted_xyxy, boxes_xyxy, p=1)
    cost: Tensor = box_l1 * distance + giou * (1 - generalized_box_iou(predicted_xyxy, boxes_xyxy))
    return cost


def _extent_cost(probabilities: Tensor, masks: Tensor) -> Tensor:
    """1 - Dice of the extents along x and y, averaged."""
    along = [dice_cost(probabilities.amax(axis), masks.amax(axis)) for axis in (2, 3)]
    return (along[0] + along[1]) / 2
