"""The terms of the training losses, each over all phrases or over all matched pairs (paper section 3).

Notation: P phrases, K queries, M matched pairs, N instances, h w the mask grid, h_f w_f SAM3's feature map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instructsam_training.losses.point_sampling import sample_points

DICE_SMOOTH = 1.0
GIOU_SMOOTH = 1e-7


def score_loss(score_logits: Tensor, target_scores: Tensor) -> Tensor:
    """Binary cross entropy of scores, [P, K] each, averaged over queries and summed over phrases."""
    return F.binary_cross_entropy_with_logits(score_logits.float(), target_scores, reduction='none').mean(1).sum()


def mask_losses(
    logits: Tensor, masks: Tensor, points: int | None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Binary cross entropy and 1 - Dice of matched pairs, [M, h, w] each: [M] each."""
    logits, masks = (
        (logits.flatten(1), masks.flatten(1)) if points is None else sample_points(logits, masks, points, generator)
    )
    bce = F.binary_cross_entropy_with_logits(logits, masks, reduction='none').mean(1)
    return {'bce': bce, 'dice': 1 - dice(logits.sigmoid(), masks, DICE_SMOOTH)}


def box_projection_losses(logits: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """1 - Dice of the projections on x and y, averaged: supervision by boxes alone (BoxInst, Tian et al., 2021)."""
    return {'box': (1 - projection_dice(logits.sigmoid(), boxes, DICE_SMOOTH)).sum()}


def box_losses(predicted_xyxy: Tensor, boxes_xyxy: Tensor) -> dict[str, Tensor]:
    """L1 and GIoU losses of boxes [layers, M, 4] and those of instances [M, 4]: sums over pairs, means over layers."""
    layers = len(predicted_xyxy)
    overlap = giou_loss(predicted_xyxy, boxes_xyxy.expand_as(predicted_xyxy)).sum()
    return {'box_l1': (predicted_xyxy - boxes_xyxy).abs().sum() / layers, 'giou': overlap / layers}


def giou_loss(predicted_xyxy: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """1 - generalized IoU of pairs of boxes, [..., 4] -> [...] (Rezatofighi et al., 2019).

    `torchvision.ops.generalized_box_iou_loss` indexes by bool, which makes the host wait for the device; this does not.
    """
    top_left = torch.maximum(predicted_xyxy[..., :2], boxes_xyxy[..., :2])
    bottom_right = torch.minimum(predicted_xyxy[..., 2:], boxes_xyxy[..., 2:])
    overlaps = (bottom_right > top_left).all(-1)
    shared = torch.where(overlaps, _area(top_left, bottom_right), 0)
    areas = [_area(boxes[..., :2], boxes[..., 2:]) for boxes in (predicted_xyxy, boxes_xyxy)]
    union = areas[0] + areas[1] - shared
    hull_start = torch.minimum(predicted_xyxy[..., :2], boxes_xyxy[..., :2])
    hull = _area(hull_start, torch.maximum(predicted_xyxy[..., 2:], boxes_xyxy[..., 2:]))
    return 1 - shared / (union + GIOU_SMOOTH) + (hull - union) / (hull + GIOU_SMOOTH)


def _area(start_xy: Tensor, end_xy: Tensor) -> Tensor:
    """Area of boxes between two corners, [..., 2] each -> [...]."""
    width, height = (end_xy - start_xy).unbind(-1)
    return width * height


def semantic_loss(logits: Tensor, unions: Tensor) -> Tensor:
    """BCE and 1 - Dice between logits and the union of all instances, [P, h, w] each, summed over phrases."""
    terms = mask_losses(logits.float(), unions, points=None)
    return terms['bce'].sum() + terms['dice'].sum()


def location_loss(logits: Tensor, unions: Tensor) -> Tensor:
    """BCE of logits [P, h_f, w_f] against the share of each location that unions [P, h, w] cover, summed over P."""
    covered = F.interpolate(unions.unsqueeze(1), size=logits.shape[1:], mode='area').squeeze(1)
    loss = F.binary_cross_entropy_with_logits(logits.float(), covered, reduction='none')
    return loss.mean((1, 2)).sum()


@torch.no_grad()
def tight_boxes(masks: Tensor) -> Tensor:
    """Boxes around masks [M, h, w], relative to the image: [M, 4], 0..1; all 0 where a mask is empty."""
    height, width = masks.shape[1:]
    # A cell belongs to the box if it is covered at least half as much as the most covered one.
    covered = masks > 0.5 * masks.amax((1, 2), keepdim=True)
    edges: list[Tensor] = []
    for axis, size in ((1, width), (2, height)):
        along = covered.any(axis)
        numbers = torch.arange(size, device=masks.device)
        first = torch.where(along, numbers, size).amin(1)
        edges += [torch.minimum(first, along.any(1) * first), torch.where(along, numbers + 1, 0).amax(1)]
    x1, x2, y1, y2 = edges
    return torch.stack([x1 / width, y1 / height, x2 / width, y2 / height], dim=1)


def dice(probabilities: Tensor, targets: Tensor, smooth: float) -> Tensor:
    """Dice of pairs, [M, ...] -> [M]."""
    probabilities, targets = probabilities.flatten(1), targets.flatten(1)
    overlap = 2 * (probabilities * targets).sum(1)
    return (overlap + smooth) / (probabilities.sum(1) + targets.sum(1) + smooth)


def projection_dice(probabilities: Tensor, boxes: Tensor, smooth: float) -> Tensor:
    """Dice of the projections on x and y, averaged, of pairs [M, h, w] -> [M]."""
    both = [dice(probabilities.amax(axis), boxes.amax(axis), smooth) for axis in (1, 2)]
    return torch.stack(both).mean(0)
