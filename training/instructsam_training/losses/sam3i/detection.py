"""The losses of SAM3's detector, each a function of the outputs of one layer and its pairs.

Notation: P prompts, K queries, N instances of all prompts, I pairs, h w the mask grid, S side of the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_training.losses.sam3i.boxes import overlaps, to_xyxy
from instructsam_training.losses.sam3i.matching import Pairs
from instructsam_training.losses.sam3i.targets import InstructionTargets

QUERIES = 200
"""Queries that the score loss is averaged over, those of SAM3, whatever the number of this network."""
IOU_SHARE = 0.75
"""Exponent of the IoU in the target of a score; that of the score is the rest."""
MIN_TARGET = 0.01
POSITIVE_WEIGHT = 10.0
MASK_ALPHA, REGION_ALPHA, PRESENCE_ALPHA = 0.25, 0.6, 0.5
MASK_GAMMA = 2.0
SMOOTH = 1.0
FEW = 1e-6
"""Added to a number of prompts that may be 0."""


def box_losses(boxes_cxcywh: Tensor, pairs: Pairs, targets: InstructionTargets, divisor: float) -> dict[str, Tensor]:
    """L1 and generalized IoU losses of the boxes [P, K, 4] of matched queries, summed and divided.

    Args:
        boxes_cxcywh: float32 [P, K, 4].
        pairs: of the layer.
        targets: of the P prompts.
        divisor: number of instances, see `Sam3ITask`.
    """
    predicted, instances = boxes_cxcywh[pairs.prompt, pairs.query], targets.boxes_cxcywh[pairs.instance]  # [I, 4]
    _, giou = overlaps(to_xyxy(predicted), to_xyxy(instances))
    return {
        'box_l1': (predicted - instances).abs().sum() / divisor,
        'giou': (1 - giou).sum() / divisor,
    }


def score_loss(score_logits: Tensor, boxes_cxcywh: Tensor, pairs: Pairs, targets: InstructionTargets) -> Tensor:
    """IoU-aware binary cross entropy of the scores, as in Align-DETR (Cai et al., 2022).

    The target of a matched query is p^0.25 IoU^0.75, at least 0.01, with its probability p; the others have the target
    0 and the weight p^2. Prompts without an instance are left to the presence loss.

    Args:
        score_logits: [P, K].
        boxes_cxcywh: float32 [P, K, 4].
        pairs: of the layer.
        targets: of the P prompts.

    Returns:
        Scalar, the sum divided by P and `QUERIES`.
    """
    logits = score_logits.float()
    probability = logits.sigmoid()
    goal, is_matched = _score_targets(probability.detach(), boxes_cxcywh.detach(), pairs, targets)
    positive = POSITIVE_WEIGHT * F.binary_cross_entropy_with_logits(logits, goal, reduction='none')
    negative = probability**2 * F.softplus(logits)
    loss = torch.where(is_matched, positive, negative) * targets.has_instance().unsqueeze(1)
    return loss.sum() / (len(logits) * QUERIES)


def _score_targets(
    probability: Tensor, boxes_cxcywh: Tensor, pairs: Pairs, targets: InstructionTargets
) -> tuple[Tensor, Tensor]:
    """Return target scores and whether queries are matched, [P, K] each.

    A query of two pairs, as one-to-many matching has them, gets the target of the last.
    """
    prompts, queries = probability.shape
    cell = pairs.prompt * queries + pairs.query  # [I]
    iou, _ = overlaps(to_xyxy(boxes_cxcywh[pairs.prompt, pairs.query]), to_xyxy(targets.boxes_cxcywh[pairs.instance]))
    goal = probability.flatten()[cell] ** (1 - IOU_SHARE) * iou**IOU_SHARE
    goal = goal.clamp(min=MIN_TARGET)
    # The last pair of each cell, independent of the order in which a GPU writes.
    numbers = torch.arange(1, len(cell) + 1, device=cell.device)
    last = torch.zeros(prompts * queries, dtype=torch.long, device=cell.device)
    last = last.scatter_reduce(0, cell, numbers, 'amax')
    padded = torch.cat([goal.new_zeros(1), goal])
    return padded[last].view(prompts, queries), (last > 0).view(prompts, queries)


def presence_loss(presence_logits: Tensor, targets: InstructionTargets) -> Tensor:
    """Focal loss with gamma 0, half the cross entropy, of whether a prompt has an instance: mean over [P]."""
    loss = F.binary_cross_entropy_with_logits(presence_logits.float(), targets.has_instance(), reduction='none')
    return PRESENCE_ALPHA * loss.mean()


def mask_losses(mask_logits: Tensor, pairs: Pairs, targets: InstructionTargets, divisor: float) -> dict[str, Tensor]:
    """Focal and Dice losses of the masks [P, K, h, w] of matched queries at the size of the input.

    Args:
        mask_logits: [P, K, h, w].
        pairs: of the last layer.
        targets: of the P prompts.
        divisor: as for `box_losses`.
    """
    logits = resize(mask_logits[pairs.prompt, pairs.query], targets.masks.shape[1:])  # [I, S, S]
    masks = targets.masks[pairs.instance].float()
    return {
        'mask': focal(logits, masks, MASK_ALPHA).mean((1, 2)).sum() / divisor,
        'dice': (1 - dice(logits.sigmoid(), masks)).sum() / divisor,
    }


def region_losses(region_logits: Tensor, targets: InstructionTargets, unions: Tensor) -> dict[str, Tensor]:
    """Focal and Dice losses of the region of all instances, [P, h, w], averaged over prompts with an instance.

    Args:
        region_logits: [P, h, w].
        targets: of the P prompts.
        unions: their unions, bool [P, S, S].
    """
    logits, regions = resize(region_logits, unions.shape[1:]), unions.float()
    has_instance = targets.has_instance()
    prompts = sum(count > 0 for count in targets.counts) + FEW
    return {
        'region': (focal(logits, regions, REGION_ALPHA).mean((1, 2)) * has_instance).sum() / prompts,
        'region_dice': ((1 - dice(logits.sigmoid(), regions)) * has_instance).sum() / prompts,
    }


def resize(logits: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Resize maps [I, h, w] to the size of masks, that of the network's input, bilinear: float32 [I, S, S]."""
    resized = F.interpolate(logits.float().unsqueeze(1), tuple(size_hw), mode='bilinear', align_corners=False)
    return resized.squeeze(1)


def focal(logits: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """Focal loss (Lin et al., 2017) of each pixel; `alpha` is the weight of the foreground."""
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    wrong = probability * (1 - targets) + (1 - probability) * targets
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * entropy * wrong**MASK_GAMMA


def dice(probability: Tensor, targets: Tensor) -> Tensor:
    """Dice of pairs of maps, [I, S, S] each: [I]."""
    shared = (probability * targets).sum((1, 2))
    return (2 * shared + SMOOTH) / (probability.sum((1, 2)) + targets.sum((1, 2)) + SMOOTH)
