"""The single terms of the training losses, each of one phrase or of its matched pairs (paper section 3.4).

Notation: K queries, M matched pairs, N instances, h w the mask grid, h_f w_f SAM3's feature map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from instructsam_training.points import sample_points

DICE_SMOOTH = 1.0


def score_loss(score_logits: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross entropy of the slots of a phrase, [K] each, averaged over them."""
    return F.binary_cross_entropy_with_logits(score_logits.float(), wanted)


def mask_losses(
    logits: Tensor, masks: Tensor, points: int | None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Binary cross entropy and 1 - Dice of matched pairs, [M, h, w] each, summed over the pairs."""
    logits, masks = (
        (logits.flatten(1), masks.flatten(1)) if points is None else sample_points(logits, masks, points, generator)
    )
    bce = F.binary_cross_entropy_with_logits(logits, masks, reduction='none').mean(1)
    return {'bce': bce.sum(), 'dice': (1 - dice(logits.sigmoid(), masks, DICE_SMOOTH)).sum()}


def box_losses(logits: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """1 - Dice of the extents along x and y, averaged; what BoxInst (Tian et al., 2021) supervises with boxes alone."""
    return {'box': (1 - extent_dice(logits.sigmoid(), boxes, DICE_SMOOTH)).sum()}


def corner_losses(predicted_xyxy: Tensor, boxes_xyxy: Tensor) -> dict[str, Tensor]:
    """How far boxes [layers, M, 4] are from those of instances [M, 4]: sums over pairs, averaged over layers."""
    layers = len(predicted_xyxy)
    overlap = generalized_box_iou_loss(predicted_xyxy, boxes_xyxy.expand_as(predicted_xyxy), reduction='sum')
    return {'corners': (predicted_xyxy - boxes_xyxy).abs().sum() / layers, 'giou': overlap / layers}


def region_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """BCE and 1 - Dice between logits [h, w] and the union of masks [N, h, w]; without masks everything is outside."""
    union = masks.float().amax(0) if len(masks) else torch.zeros_like(logits, dtype=torch.float32)
    terms = mask_losses(logits.float().unsqueeze(0), union.unsqueeze(0), points=None)
    return terms['bce'] + terms['dice']


def place_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """BCE between logits [h_f, w_f] and how far the union of masks [N, h, w] covers each place."""
    union = masks.to(logits.device).float().amax(0) if len(masks) else logits.new_zeros(logits.shape)
    covered = F.interpolate(union[None, None], size=logits.shape, mode='area')[0, 0]
    return F.binary_cross_entropy_with_logits(logits.float(), covered)


@torch.no_grad()
def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes around masks [M, h, w], relative to the picture: [M, 4], 0..1; all 0 where a mask is empty."""
    height, width = masks.shape[1:]
    covered = masks > 0.5 * masks.amax((1, 2), keepdim=True)
    edges: list[Tensor] = []
    for axis, size in ((1, width), (2, height)):
        along = covered.any(axis)
        numbers = torch.arange(size, device=masks.device)
        first = torch.where(along, numbers, size).amin(1)
        edges += [torch.minimum(first, along.any(1) * first), torch.where(along, numbers + 1, 0).amax(1)]
    x1, x2, y1, y2 = edges
    scale = torch.tensor([width, height, width, height], device=masks.device)
    return torch.stack([x1, y1, x2, y2], dim=1) / scale


def dice(probabilities: Tensor, targets: Tensor, smooth: float) -> Tensor:
    """Dice of pairs, [M, ...] -> [M]."""
    probabilities, targets = probabilities.flatten(1), targets.flatten(1)
    overlap = 2 * (probabilities * targets).sum(1)
    return (overlap + smooth) / (probabilities.sum(1) + targets.sum(1) + smooth)


def extent_dice(probabilities: Tensor, boxes: Tensor, smooth: float) -> Tensor:
    """Dice of the extents along x and y, averaged, of each pair [M, h, w]: [M]."""
    along = [dice(probabilities.amax(axis), boxes.amax(axis), smooth) for axis in (1, 2)]
    return torch.stack(along).mean(0)
