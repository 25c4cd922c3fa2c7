"""Which slot answers for which instance: the cheapest one-to-one assignment (paper section 3.4, DETR).

Notation: K slots, N instances of one phrase, h w the mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou

BCE_COST = 2.0
DICE_COST = 0.5
SCORE_COST = 1.0
SMOOTH = 1e-3
SAME_IOU = 0.9
"""Masks that overlap more are of one instance."""


@dataclass(frozen=True)
class Match:
    """Which slots answer for which instances of a phrase.

    Attributes:
        masks: of the M matched instances, [M, h, w].
        slots: int64 [M].
        wanted: what all slots are to score, [K].
    """

    masks: Tensor
    slots: Tensor
    wanted: Tensor

    def belonging_to(self, masks: Tensor) -> Tensor:
        """What the slots are to score for another phrase, [K], whose instances [N, h, w] are some of these."""
        wanted = torch.zeros_like(self.wanted)
        if len(self.slots) and len(masks):
            ours, theirs = self.masks.flatten(1).float(), masks.to(self.masks.device).flatten(1).float()
            overlap = ours @ theirs.T
            union = ours.square().sum(1, keepdim=True) + theirs.square().sum(1) - overlap
            slots = self.slots[(overlap / union.clamp(min=SMOOTH)).amax(1) > SAME_IOU]
            wanted[slots] = self.wanted[slots]
        return wanted


@torch.no_grad()
def match(
    mask_logits: Tensor,
    score_logits: Tensor,
    targets: Tensor,
    *,
    weak: bool = False,
    place_cost: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Assign instances to slots, min(K, N) pairs.

    Args:
        mask_logits: [K, h, w].
        score_logits: [K].
        targets: [N, h, w], 0 or 1.
        weak: the targets are filled boxes; what lies inside them is not known, so only their extent is compared.
        place_cost: [K, N], how far the slots' boxes are from the instances', where boxes are learnt.

    Returns:
        int64 slots and instances, of the same length.

    Raises:
        FloatingPointError: a logit is NaN.
    """
    logits, targets = mask_logits.float(), targets.float()
    if weak:
        mask_cost = _projected_dice_cost(logits.sigmoid(), targets)
    else:
        mask_cost = DICE_COST * dice_cost(logits.sigmoid(), targets) + BCE_COST * bce_cost(logits, targets)
    cost = mask_cost + SCORE_COST * F.softplus(-score_logits.float()).unsqueeze(1)
    if place_cost is not None:
        cost = cost + place_cost
    if not cost.isfinite().all():
        raise FloatingPointError('matching: a cost is NaN or infinite; the network has diverged')
    slots, instances = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(slots).to(logits.device), torch.from_numpy(instances).to(logits.device)


def dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of every slot with every instance: [K, ...], [N, ...] -> [K, N]."""
    probabilities, targets = probabilities.flatten(1), targets.flatten(1)
    overlap = 2 * probabilities @ targets.T
    return 1 - (overlap + SMOOTH) / (probabilities.sum(1, keepdim=True) + targets.sum(1) + SMOOTH)


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of every slot with every instance: [K, h, w], [N, h, w] -> [K, N]."""
    logits, targets = logits.flatten(1), targets.flatten(1)
    # softplus(-x) on the object and softplus(x) elsewhere; softplus(x) - softplus(-x) = x
    return (F.softplus(logits).sum(1, keepdim=True) - logits @ targets.T) / logits.shape[1]


def box_cost(predicted_xyxy: Tensor, boxes_xyxy: Tensor, corners: float, giou: float) -> Tensor:
    """Weighted L1 distance and 1 - generalised IoU of every slot's box with every instance's (DETR).

    Args:
        predicted_xyxy: [K, 4], 0..1.
        boxes_xyxy: [N, 4], 0..1.
        corners: weight of the distance, that of the loss.
        giou: weight of 1 - generalised IoU, likewise.

    Returns:
        [K, N].
    """
    distance = torch.cdist(predicted_xyxy, boxes_xyxy, p=1)
    cost: Tensor = corners * distance + giou * (1 - generalized_box_iou(predicted_xyxy, boxes_xyxy))
    return cost


def _projected_dice_cost(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - Dice of the extents along x and y, averaged."""
    return (dice_cost(probabilities.amax(1), targets.amax(1)) + dice_cost(probabilities.amax(2), targets.amax(2))) / 2
