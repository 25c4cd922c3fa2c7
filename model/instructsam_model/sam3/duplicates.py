"""Duplicate instances: masks of one phrase that cover nearly the same pixels as one with a higher score.

The comparison is made at the mask grid, on the device of the network, and the host does not wait for it.

Notation: P phrases, K queries of a phrase, h w the mask grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

KEEP_ALL = 1.0
"""Largest IoU of two masks with which none is a duplicate."""


def mark_duplicates(scores: Tensor, mask_logits: Tensor, max_mask_iou: float, mask_threshold: float) -> Tensor:
    """Return the scores with those of duplicates negated, so that they rank last: [P, K].

    Greedy, best score first: a mask is a duplicate if its IoU with a mask of the same phrase that is kept is above
    `max_mask_iou`. An object that two phrases name stays an instance of each.

    Args:
        scores: [P, K], 0..1.
        mask_logits: [P, K, h, w].
        max_mask_iou: largest IoU of two instances; `KEEP_ALL` changes nothing.
        mask_threshold: probability above which a pixel belongs to a mask.
    """
    if max_mask_iou >= KEEP_ALL or not scores.numel():
        return scores
    order = scores.argsort(dim=1, descending=True, stable=True)
    overlaps = _overlaps(mask_logits, order, max_mask_iou, mask_threshold)
    is_kept = torch.ones_like(order, dtype=torch.bool)
    # By rank: a mask that was dropped itself drops no other.
    for rank in range(order.shape[1] - 1):
        is_kept[:, rank + 1 :] &= ~(overlaps[:, rank, rank + 1 :] & is_kept[:, rank, None])
    is_duplicate = torch.zeros_like(is_kept).scatter(1, order, ~is_kept)
    return torch.where(is_duplicate, -scores, scores)


def _overlaps(mask_logits: Tensor, order: Tensor, max_mask_iou: float, mask_threshold: float) -> Tensor:
    """Return which pairs of masks, by rank, have an IoU above `max_mask_iou`: bool [P, K, K]."""
    threshold = torch.logit(torch.tensor(mask_threshold)).item()  # on the CPU
    # 0 or 1, so that the products count pixels; exact in float32.
    masks = (mask_logits > threshold).flatten(2).float()  # [P, K, h w]
    intersection = (masks @ masks.mT).gather(1, order[:, :, None].expand(-1, -1, order.shape[1]))
    intersection = intersection.gather(2, order[:, None, :].expand_as(intersection))  # [P, K, K]
    area = intersection.diagonal(dim1=1, dim2=2)  # [P, K]
    # Without a division: the union of two empty masks is 0.
    return intersection > max_mask_iou * (area[:, :, None] + area[:, None, :] - intersection)
